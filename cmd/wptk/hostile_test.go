package main

import (
	"os"
	"strings"
	"testing"
)

func TestUnknownGroupOfAttacksListsThoseThereAre(t *testing.T) {
	t.Parallel()
	got := runIn(t.Context(), t, nil, "hostile", "earthquake")
	if got.status != exitUsage || os.Geteuid() == 0 && !strings.Contains(got.err, "arguments, names, tokens, strangers") {
		t.Errorf("exit status %d: %s", got.status, got.err)
	}
}

// What make hostile does at length: a real stack, attacked by one of its tenants.
func TestSomeAttacksOfEachSortAreInVain(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real servers; make test does it")
	}
	if os.Geteuid() != 0 {
		t.Skip("the enemies are Unix users of their own; make hostile is for root")
	}
	t.Parallel()
	status, out, errs := call(t, "hostile", "--short", "--json", "arguments", "names", "tokens", "strangers", "identity", "sql", "code", "race")
	var f hostileFigures
	lastLine(t, out, &f)
	if status != exitOK || !f.Met || f.Cases < 91 || f.Held != f.Cases || len(f.Groups) != 8 {
		t.Errorf("exit status %d\n%s%s", status, errs, out)
	}
}
