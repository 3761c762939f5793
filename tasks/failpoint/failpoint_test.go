package failpoint

import (
	"os"
	"path/filepath"
	"testing"
)

// One test, since what is armed is the process's.
func TestPointsDoWhatTheyAreArmedFor(t *testing.T) {
	died := 0
	real := end
	end = func() { died++ }
	t.Cleanup(func() { end = real; armed.Store(nil) })

	Hit("journal.before", "begin", "install")
	if died != 0 {
		t.Fatal("an unarmed point killed the process")
	}
	if err := Arm("journal.before.begin.install=kill,submit.recorded#2=kill"); err != nil {
		t.Fatal(err)
	}
	Hit("journal.before", "begin", "publish")
	Hit("submit.recorded")
	if died != 0 {
		t.Error("another point, or the first time, was taken for it")
	}
	Hit("journal.before", "begin", "install")
	Hit("submit.recorded")
	Hit("submit.recorded")
	if died != 2 {
		t.Errorf("died %d times instead of 2", died)
	}

	dir := t.TempDir()
	if err := Arm("settle.before=gate:" + dir); err != nil {
		t.Fatal(err)
	}
	passed := make(chan struct{})
	go func() { Hit("settle.before"); close(passed) }()
	for marks := []string(nil); len(marks) == 0; {
		select {
		case <-passed:
			t.Fatal("the gate was not closed")
		default:
			marks, _ = filepath.Glob(filepath.Join(dir, "*-1"))
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "open"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	<-passed
}

func TestListThatMeansNothingIsRefused(t *testing.T) {
	for _, list := range []string{"x", "=kill", "x=explode", "x#0=kill", "x#y=kill", "x=gate:relative", "a=kill,"} {
		if err := Arm(list); err == nil {
			t.Errorf("%q was taken", list)
			armed.Store(nil)
		}
	}
}
