package proc

import (
	"os/exec"
	"testing"
)

func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		if _, err := Run(b.Context(), Spec{Path: "/bin/true", As: tenant()}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPlainExec is the yardstick of BenchmarkRun: the same program without identity,
// sandbox and supervisor.
func BenchmarkPlainExec(b *testing.B) {
	for b.Loop() {
		if err := exec.CommandContext(b.Context(), "/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
	}
}
