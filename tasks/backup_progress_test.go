package tasks

import (
	"testing"

	"github.com/wispanel/wptk/wp"
)

func TestProgressOfABackupTellsBytesAndFiles(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]wp.BackupProgress{
		"Storing the backup: 30 MB of about 500 MB, 12 files": {Bytes: 30 << 20, Files: 12},
		"Storing the backup: 600 MB, 99 files":                {Bytes: 600 << 20, Files: 99}, // more than was there when it was planned
	} {
		if got := saveMessage(p, 500<<20); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := fraction(600, 500); got >= 1 {
		t.Errorf("%v before its end", got)
	}
}
