package proc

import (
	"bytes"
	"testing"
)

func TestRunReportsExitStatusAndOutput(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	exit, err := Run(t.Context(), Spec{Path: "/bin/sh", Args: []string{"-c", "id -u; id -G; pwd; cat /proc/self/status; ls -l /proc/self/fd; env; exit 3"}, As: tenant(), Stdout: &out, Stderr: &out})
	t.Log(out.String(), exit, err)
	if err != nil || exit.Code != 3 {
		t.Fatal(exit, err)
	}
}
