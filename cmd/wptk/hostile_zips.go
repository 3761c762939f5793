package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/wispanel/wptk/tasks"
)

const pluginHead = "<?php\n/* Plugin Name: Evil\nVersion: 1.0 */\n"

// entry is one entry of an archive.
type entry struct {
	name, content string
	mode          fs.FileMode
}

// archiveCases install plugins whose archives are not what they should be, from a package
// source that an attacker has got hold of.
func archiveCases(h *hostile) (all []hostileCase) {
	mark := h.state.dir("marks")
	for i, c := range []struct {
		name    string
		entries []entry
	}{
		{"names that go up", []entry{{name: "../../../../../.." + mark + "/up"}}},
		{"names that go up inside", []entry{{name: "evil/../../up.php"}}},
		{"an absolute name", []entry{{name: mark + "/absolute"}}},
		{"backslashes", []entry{{name: `evil\..\..\back.php`}}},
		{"a drive", []entry{{name: `C:\x.php`}}},
		{"a link that leads out", []entry{{name: "evil/link", content: "/etc", mode: fs.ModeSymlink | 0o777}}},
		{"a link, and a file behind it", []entry{{name: "evil/link", content: mark, mode: fs.ModeSymlink | 0o777}, {name: "evil/link/through"}}},
		{"a device", []entry{{name: "evil/disk", mode: fs.ModeDevice | 0o666}}},
		{"a pipe", []entry{{name: "evil/pipe", mode: fs.ModeNamedPipe | 0o666}}},
		{"a setuid file", []entry{{name: "evil/suid", mode: fs.ModeSetuid | 0o755}}},
		{"a name twice", []entry{{name: "evil/a.php", content: "1"}, {name: "evil/a.php", content: "2"}}},
		{"a name in two cases", []entry{{name: "evil/a.php"}, {name: "evil/A.php"}}},
		{"a name of a line's end", []entry{{name: "evil/a\nb.php"}}},
		{"a name with NUL", []entry{{name: "evil/a\x00.php"}}},
		{"a name of 300 bytes", []entry{{name: "evil/" + strings.Repeat("a", 300)}}},
		{"a file and a directory of one name", []entry{{name: "evil/a", content: "x"}, {name: "evil/a/b"}}},
		{"a bomb of zeros", []entry{{name: "evil/bomb", content: strings.Repeat("\x00", 64<<20)}}},
		{"another plugin's directory", []entry{{name: "akismet/akismet.php", content: pluginHead}}},
		{"60,000 files", many(60_000)},
		{"nothing", nil},
	} {
		slug := fmt.Sprintf("evil%d", i)
		all = append(all, hostileCase{name: c.name, short: i < 2, attack: func(x *attack) {
			whole := append([]entry{}, c.entries...)
			if c.name != "nothing" && c.name != "another plugin's directory" {
				whole = append(whole, entry{name: slug + "/" + slug + ".php", content: pluginHead})
			}
			raw, err := zipped(whole, slug)
			x.note(err)
			x.archive(slug, raw)
		}})
	}
	good, err := zipped([]entry{{name: "cut/cut.php", content: pluginHead + strings.Repeat("x", 1000)}}, "cut")
	for name, raw := range map[string][]byte{
		"an archive cut short":     good[:len(good)/2],
		"an archive that is none":  []byte("<html>404</html>"),
		"an empty archive":         {},
		"an archive of wrong sums": bytes.Replace(good, []byte("xxxx"), []byte("xxxy"), 1),
	} {
		slug := "cut" + fmt.Sprint(len(name))
		all = append(all, hostileCase{name: name, attack: func(x *attack) {
			x.note(err)
			x.archive(slug, raw)
		}})
	}
	return all
}

func many(n int) (all []entry) {
	for i := range n {
		all = append(all, entry{name: fmt.Sprintf("evil/%d", i)})
	}
	return all
}

// zipped stores without compression what has to be changed afterwards.
func zipped(entries []entry, slug string) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		head := &zip.FileHeader{Name: strings.Replace(e.name, "evil/", slug+"/", 1), Method: zip.Deflate}
		if slug == "cut" {
			head.Method = zip.Store
		}
		head.SetMode(max(e.mode, 0o644))
		f, err := w.CreateHeader(head)
		if err != nil {
			return nil, fmt.Errorf("making an archive: %w", err)
		}
		if _, err := f.Write([]byte(e.content)); err != nil {
			return nil, fmt.Errorf("making an archive: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("making an archive: %w", err)
	}
	return b.Bytes(), nil
}

// archive offers one and asks for it; nothing of it may arrive in the site.
func (x *attack) archive(slug string, raw []byte) {
	dir := filepath.Join(x.hostile.packages, "plugins", slug)
	x.note(os.Mkdir(dir, 0o755))
	x.note(os.WriteFile(filepath.Join(dir, "1.0.zip"), raw, 0o644))
	x.undo(func() { x.as(`rm -rf "$D/wp-content/plugins/` + slug + `"`) })
	x.as(`ls -lnR "$D/wp-content/plugins" > "$H/plugins.before"`)
	op := x.attempt("/plugins/install", fields{"plugin": slug})
	x.check(op.Status == tasks.Failed || op.Status == tasks.RolledBack, "the install is %q, want it to fail", op.Status)
	x.as(`ls -lnR "$D/wp-content/plugins" > "$H/plugins.after"; cmp "$H/plugins.before" "$H/plugins.after"`)
}
