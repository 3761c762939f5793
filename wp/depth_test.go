package wp

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nested makes so many directories below each other, with a file in the last one.
func (p plot) nested(t *testing.T, below string, levels int) string {
	t.Helper()
	for range levels {
		below += "/d"
		p.mkdir(t, below, 0o755)
	}
	p.put(t, below+"/last", "at the bottom")
	return below
}

func TestDeepTreeIsBackedUpRestoredClonedAndRemoved(t *testing.T) {
	t.Parallel()
	p := backedUp(t)
	bottom := strings.TrimPrefix(p.nested(t, "public_html/wp-content/uploads", 200), "public_html/")
	stream := filesOf(t, p)
	b, err := NewBackupReader(bytes.NewReader(stream))
	must(t, err)
	h, ctx := &Host{}, t.Context()
	_, err = h.Files.ExchangeGround(ctx, p.site)
	must(t, err)
	must(t, h.Files.OpenStage(ctx, p.site, testStage))
	staged, err := p.site.Staged(testStage)
	must(t, err)
	_, err = b.Unpack(ctx, BackupTarget{Files: func(r io.Reader) error {
		_, _, err := h.ExtractFiles(ctx, staged, r, nil)
		return err
	}})
	must(t, err, h.Files.SealStage(ctx, p.site, testStage))
	must(t, os.WriteFile(filepath.Join(p.site.Docroot, bottom, "last"), []byte("changed since"), 0o644))
	_, err = h.Files.ExchangeDocroot(ctx, p.site, testStage)
	must(t, err)
	if got, err := os.ReadFile(filepath.Join(p.site.Docroot, bottom, "last")); err != nil || string(got) != "at the bottom" {
		t.Errorf("the last file is %q, %v", got, err)
	}
	must(t, h.Files.DropExchanged(ctx, p.site, testStage))
	if _, err := os.Lstat(staged.Docroot); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old tree is still there: %v", err)
	}
	belongings, err := h.Files.Belongings(ctx, p.site)
	if must(t, err); !belongings.Complete {
		t.Error("what has to be removed with the site is not counted whole")
	}
}

func TestTreeThatIsTooDeepIsRefusedAndNotBackedUpInPart(t *testing.T) {
	t.Parallel()
	h := &Host{}
	for name, make := range map[string]func(plot){
		"levels": func(p plot) { p.nested(t, "public_html/wp-content", maxTreeDepth+1) },
		"bytes":  func(p plot) { p.nestedRoot(t, "public_html/wp-content", strings.Repeat("n", 250), 17) },
	} {
		p := backedUp(t)
		make(p)
		m := BackupManifest{ID: "bk_x", Type: "files"}
		_, backup := h.WriteBackup(t.Context(), p.site, BackupSelection{Files: true}, m, io.Discard, nil)
		_, ground := h.Files.ExchangeGround(t.Context(), p.site)
		for what, err := range map[string]error{"backup": backup, "restore": ground} {
			if !errors.Is(err, syscall.ENAMETOOLONG) {
				t.Errorf("too many %s: the %s says %v", name, what, err)
			}
		}
	}
}

// nestedRoot makes directories that no path reaches from above.
func (p plot) nestedRoot(t *testing.T, below, name string, levels int) {
	t.Helper()
	dir, err := os.OpenRoot(filepath.Join(p.home, below))
	must(t, err)
	for range levels {
		must(t, dir.Mkdir(name, 0o755))
		next, err := dir.OpenRoot(name)
		must(t, err, dir.Close())
		dir = next
		if os.Geteuid() == 0 {
			must(t, dir.Chown(".", int(p.site.User.UID), int(p.site.User.GID)))
		}
	}
	must(t, dir.Close())
}
