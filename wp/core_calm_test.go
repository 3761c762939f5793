package wp

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// calmSwap is an exchange in a directory of the test, which notes what a visitor would meet
// in each pause: whether the site is closed, and which index.php stands there.
func calmSwap(t *testing.T, files map[string]string) (s *swapper, met *[]string) {
	t.Helper()
	dir := t.TempDir()
	coreTree(t, filepath.Join(dir, "docroot"), files)
	coreTree(t, filepath.Join(dir, ".wptk-x"), newCore())
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { _ = root.Close() })
	met = new([]string)
	s = &swapper{root: root, swapRequest: swapRequest{
		Target: "docroot", Stage: ".wptk-x", Names: []string{"index.php"}, Calm: Calm{Before: time.Hour, After: 2 * time.Hour},
	}}
	s.pause = func(d time.Duration) {
		there := contents(t, filepath.Join(dir, "docroot"))
		closed := "open"
		if there[".maintenance"] != "" {
			closed = "closed"
		}
		*met = append(*met, d.Round(time.Minute).String()+" "+closed+" "+there["index.php"])
	}
	return s, met
}

func TestSiteIsClosedBeforeItsFilesChangeAndUntilTheyAreKnown(t *testing.T) {
	t.Parallel()
	s, met := calmSwap(t, oldSite())
	_, err := s.swap()
	must(t, err)
	_, err = s.swapBack()
	must(t, err)
	want := []string{
		"1h0m0s closed " + oldSite()["index.php"], "2h0m0s closed new index",
		"1h0m0s closed new index", "2h0m0s closed " + oldSite()["index.php"],
	}
	sameTexts(t, want, *met)
	if _, err := s.root.Lstat("docroot/.maintenance"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the site is still closed: %v", err)
	}
}

func TestSiteThatHasBeenClosedForLongIsExchangedAtOnce(t *testing.T) {
	t.Parallel()
	files := oldSite()
	files[".maintenance"] = "<?php $upgrading = 2000000000;"
	s, met := calmSwap(t, files)
	long := time.Now().Add(-2 * time.Hour)
	must(t, s.root.Chtimes("docroot/.maintenance", long, long))
	_, err := s.swap()
	must(t, err)
	sameTexts(t, nil, *met)
}

func TestPauseIsBoundedWhateverTheClockOfASignSays(t *testing.T) {
	t.Parallel()
	files := oldSite()
	files[".maintenance"] = "<?php $upgrading = 2000000000;"
	s, met := calmSwap(t, files)
	ahead := time.Now().Add(1000 * time.Hour)
	must(t, s.root.Chtimes("docroot/.maintenance", ahead, ahead))
	_, err := s.swap()
	must(t, err)
	sameTexts(t, []string{"1h0m0s closed " + oldSite()["index.php"]}, *met)
}

func sameTexts(t *testing.T, want, got []string) {
	t.Helper()
	if !slices.Equal(want, got) {
		t.Errorf("visitors met %q, want %q", got, want)
	}
}
