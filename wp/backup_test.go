package wp

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// backedUp is an install with everything that a tree may have in it.
func backedUp(t *testing.T) plot {
	t.Helper()
	p := newPlace(t, "public_html")
	for _, dir := range []string{"", "/wp-includes", "/wp-content", "/wp-content/uploads", "/shop", "/shop/wp-includes", "/.wptk-op_other"} {
		p.mkdir(t, "public_html"+dir, 0o755)
	}
	p.put(t, "public_html/wp-includes/version.php", "<?php\n$wp_version = '6.5';\n")
	p.put(t, "public_html/wp-config.php", `<?php define('DB_NAME','a'); define('DB_USER','a'); define('DB_PASSWORD','geheim'); define('DB_HOST','localhost'); $table_prefix='wp_'; require 'wp-settings.php';`)
	p.put(t, "public_html/index.php", "<?php")
	p.put(t, "public_html/-rf", "an odd name")
	p.put(t, "public_html/wp-content/ä ü\xff.txt", "not UTF-8")
	p.put(t, "public_html/wp-content/empty", "")
	p.put(t, "public_html/wp-content/"+strings.Repeat("long", 50), "long")
	p.put(t, "public_html/wp-content/uploads/big.bin", strings.Repeat("0123456789abcdef", 1<<13))
	p.put(t, "public_html/shop/wp-includes/version.php", "<?php\n$wp_version = '6.4';\n")
	p.put(t, "public_html/.wptk-op_other/file", "of an operation")
	at := func(name string) string { return filepath.Join(p.home, "public_html", name) }
	must(t, os.Chmod(at("index.php"), 0o4750), os.Chmod(at("wp-content/empty"), 0o400), os.Chmod(at("wp-content/uploads"), 0o555))
	must(t, os.Symlink("/etc/passwd", at("wp-content/passwd")), os.Symlink("uploads", at("wp-content/up")))
	must(t, unix.Mkfifo(at("wp-content/fifo"), 0o644), os.Link(at("index.php"), at("wp-content/hard")))
	p.give(t, "public_html/wp-content/passwd", "public_html/wp-content/up", "public_html/wp-content/fifo")
	must(t, os.Chtimes(at("wp-content/empty"), time.Unix(1e9, 0), time.Unix(1e9, 0)))
	return p
}

func filesOf(t *testing.T, p plot) []byte {
	t.Helper()
	var stream bytes.Buffer
	m := BackupManifest{ID: "bk_x", Created: time.Unix(1.7e9, 0), Type: "files"}
	_, err := (&Host{}).WriteBackup(t.Context(), p.site, BackupSelection{Files: true}, m, &stream, nil)
	must(t, err)
	return stream.Bytes()
}

func TestBackupOfFilesComesBackAsItWas(t *testing.T) {
	t.Parallel()
	p := backedUp(t)
	stream := filesOf(t, p)
	if again := filesOf(t, p); !bytes.Equal(again, stream) {
		t.Error("the same tree gives another stream, which a store could not tell from a changed one")
	}
	b, err := NewBackupReader(bytes.NewReader(stream))
	must(t, err)
	if m := b.Manifest(); m.Domain != "alice.example" || m.WordPress != "6.5" || !slices.Equal(m.Nested, []string{"shop"}) {
		t.Errorf("manifest %+v", m)
	}
	staged, err := p.site.Staged(testStage)
	must(t, err)
	h := &Host{}
	sum, err := b.Unpack(t.Context(), BackupTarget{Files: func(r io.Reader) error {
		_, _, err := h.ExtractFiles(t.Context(), staged, r, nil)
		return err
	}})
	must(t, err)
	compareTrees(t, p.site.Docroot, staged.Docroot, "shop", ".wptk-op_other", "wp-content/fifo")
	if b.Size() != int64(len(stream)) {
		t.Errorf("the stream of %d bytes is said to have %d", len(stream), b.Size())
	}
	if got, err := h.FilesSum(t.Context(), staged); err != nil || got != sum.FilesSum {
		t.Errorf("checksum of the unpacked files %s, %v, want %s", got, err, sum.FilesSum)
	}
	if sum.Files != 9 || sum.Links != 2 || !slices.Equal(sum.Skipped, []string{"wp-content/fifo"}) {
		t.Errorf("summary %+v", sum)
	}
}

// compareTrees holds a copy against its original, but for what was to stay out.
func compareTrees(t *testing.T, original, copied string, without ...string) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(original, func(name string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(original, name)
		if err != nil || slices.Contains(without, rel) {
			if _, err := os.Lstat(filepath.Join(copied, rel)); err == nil {
				t.Errorf("%s was to stay out", rel)
			}
			if d.IsDir() {
				return fs.SkipDir
			}
			return err
		}
		if rel == "." {
			return nil
		}
		seen++
		was, err := os.Lstat(name)
		must(t, err)
		is, err := os.Lstat(filepath.Join(copied, rel))
		if err != nil {
			t.Errorf("%s: %v", rel, err)
			return nil
		}
		if is.Mode()&^fs.ModeSetuid != was.Mode()&^fs.ModeSetuid || is.Mode()&fs.ModeSetuid != 0 {
			t.Errorf("%s: mode %v, was %v", rel, is.Mode(), was.Mode())
		}
		if was.Mode()&fs.ModeSymlink != 0 {
			a, _ := os.Readlink(name)
			if b, _ := os.Readlink(filepath.Join(copied, rel)); a != b {
				t.Errorf("%s: links to %s, was %s", rel, b, a)
			}
			return nil
		}
		if is.ModTime().Unix() != was.ModTime().Unix() {
			t.Errorf("%s: time %v, was %v", rel, is.ModTime(), was.ModTime())
		}
		if was.Mode().IsRegular() {
			a, errA := os.ReadFile(name)
			b, errB := os.ReadFile(filepath.Join(copied, rel))
			if errA != nil || errB != nil || !bytes.Equal(a, b) {
				t.Errorf("%s: other content (%v, %v)", rel, errA, errB)
			}
		}
		return nil
	})
	must(t, err)
	if seen < 10 {
		t.Errorf("only %d entries were compared", seen)
	}
}

func TestBackupThatIsNotWholeIsNeverTakenForWhole(t *testing.T) {
	t.Parallel()
	stream := filesOf(t, backedUp(t))
	read := func(data []byte) error {
		b, err := NewBackupReader(iotest.HalfReader(bytes.NewReader(data)))
		if err == nil {
			_, err = b.Unpack(t.Context(), BackupTarget{Files: func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }})
		}
		return err
	}
	must(t, read(stream))
	rapid.Check(t, func(r *rapid.T) {
		// Behind the summary there is only padding that nobody misses.
		cut := rapid.IntRange(0, bytes.LastIndexByte(stream, '}')).Draw(r, "cut")
		if err := read(stream[:cut]); !errors.Is(err, ErrBackupDamaged) {
			r.Fatalf("cut at %d: %v", cut, err)
		}
		bad := bytes.Clone(stream)
		at := bytes.Index(bad, []byte("0123456789abcdef")) + rapid.IntRange(0, 1<<17-1).Draw(r, "flip")
		bad[at] ^= 1
		if err := read(bad); !errors.Is(err, ErrBackupDamaged) {
			r.Fatalf("flipped at %d: %v", at, err)
		}
	})
}

func tarOf(entries [][2]string) []byte {
	var stream bytes.Buffer
	w := tar.NewWriter(&stream)
	for _, e := range entries {
		_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: e[0], Size: int64(len(e[1]))})
		_, _ = w.Write([]byte(e[1]))
	}
	_ = w.Close()
	return stream.Bytes()
}

// FuzzBackupReader: whatever a stream says, nothing but an error comes of it.
func FuzzBackupReader(f *testing.F) {
	for _, entries := range [][][2]string{
		{{"backup.json", `{"format":1}`}, {"files/../../x", "x"}, {"summary.json", `{}`}},
		{{"backup.json", `{"format":1}`}, {"database/000001.sql", "SELECT 1;"}, {"files/a", "a"}, {"files/b", ""}, {"above/wp-config.php", "<?php"},
			{"summary.json", `{"files":2,"file_bytes":1,"dump_bytes":9}`}},
		{{"backup.json", `{"format":1}`}, {"files/a", "a"}, {"database/000001.sql", "x"}, {"files/a", "a"}, {"summary.json", `{"files":-1}`}},
		{{"backup.json", `{"format":1,"created_at":"x"}`}},
		{{"backup.json", `{"format":2}`}, {"summary.json", `{}`}},
		{{"backup.json", `{"format":1}`}, {"summary.json", `{}`}, {"files/late", "x"}},
	} {
		f.Add(tarOf(entries))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := NewBackupReader(bytes.NewReader(data))
		if err != nil {
			return
		}
		_, _ = b.Unpack(t.Context(), BackupTarget{Files: func(r io.Reader) error {
			return eachEntry(tar.NewReader(r), func(e *tar.Header, _ io.Reader) error {
				if !filepath.IsLocal(e.Name) {
					t.Errorf("an entry named %q", e.Name)
				}
				return nil
			})
		}})
	})
}

func TestHostileTarStaysInTheStage(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "public_html")
	staged, err := p.site.Staged(testStage)
	must(t, err)
	var stream bytes.Buffer
	w := tar.NewWriter(&stream)
	for _, e := range []tar.Header{
		{Typeflag: tar.TypeSymlink, Name: "out", Linkname: p.home},
		{Typeflag: tar.TypeReg, Name: "out/pwned", Size: 1},
		{Typeflag: tar.TypeReg, Name: "../../up", Size: 1},
		{Typeflag: tar.TypeReg, Name: "/abs", Size: 1, Mode: 0o4755},
		{Typeflag: tar.TypeLink, Name: "hard", Linkname: p.sentinel},
		{Typeflag: tar.TypeChar, Name: "dev", Devmajor: 1, Devminor: 3},
		{Typeflag: tar.TypeFifo, Name: "fifo"},
		{Typeflag: tar.TypeDir, Name: "."},
	} {
		must(t, w.WriteHeader(&e))
		if e.Size > 0 {
			_, err := w.Write([]byte("x"))
			must(t, err)
		}
	}
	must(t, w.Close())
	count, _, err := (&Host{}).ExtractFiles(t.Context(), staged, &stream, nil)
	if err != nil || count != 3 {
		t.Errorf("%d files, %v", count, err)
	}
	names := func(dir string) (all []string) {
		list, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range list {
			all = append(all, e.Name())
		}
		return all
	}
	if got := names(p.home); !slices.Equal(got, []string{testStage}) {
		t.Errorf("the domain's directory has %q", got)
	}
	if got := names(staged.Docroot); !slices.Equal(got, []string{"abs", "out", "up"}) {
		t.Errorf("the stage has %q", got)
	}
	if info, err := os.Lstat(filepath.Join(staged.Docroot, "abs")); err != nil || info.Mode() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestFileThatTheAccountCannotReadFailsTheBackup(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("only root can make files of others; nothing to see")
		return
	}
	p := backedUp(t)
	must(t, os.WriteFile(filepath.Join(p.home, "public_html/root-only"), []byte("x"), 0o600))
	err := (&Host{}).PackFiles(t.Context(), p.site, nil, io.Discard)
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "root-only") {
		t.Errorf("%v", err)
	}
}
