package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wispanel/wptk/wp/proc"
)

func TestWordsAreCompletedWhereTheyStand(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"":                              "install ops sites backups rollouts schedules nodes webhooks keys packages bench dashboards chaos hostile e2e demo completion version",
		"nod":                           "nodes",
		"nodes dr":                      "drain",
		"--json nodes dr":               "drain",
		"--api http://x nodes dr":       "drain",
		"keys create --role ":           "admin user",
		"keys create --role = us":       "user",
		"keys create --role=user --exp": "--expires",
		"completion ":                   "bash fish zsh",
		"nodes drain web":               "",
		"nonsense ":                     "*",
	} {
		t.Run(words, func(t *testing.T) {
			t.Parallel()
			status, got, wrong := call(t, append([]string{"complete", "--"}, strings.Split(words, " ")...)...)
			if status != exitOK || wrong.Len() > 0 {
				t.Fatalf("status %d: %s", status, wrong)
			}
			var offered []string
			for line := range strings.Lines(got.String()) {
				word, _, _ := strings.Cut(line, "\t")
				offered = append(offered, word)
			}
			for _, word := range strings.Fields(want) {
				if word != "*" && !slices.Contains(offered, word) {
					t.Errorf("%q is not offered: %v", word, offered)
				}
			}
			if want != "*" && words != "" && len(offered) != len(strings.Fields(want)) {
				t.Errorf("offered %v, want %s", offered, want)
			}
		})
	}
}

// bash itself completes a line with the script, which asks this very program.
func TestBashCompletesALine(t *testing.T) {
	t.Parallel()
	bash, err := program("bash")
	if err != nil {
		t.Fatal(err)
	}
	_, script, _ := call(t, "completion", "bash")
	_, offered, _ := call(t, "complete", "--", "nodes", "")
	dir := t.TempDir()
	fake := fmt.Sprintf("#!/bin/sh\n[ \"$*\" = 'complete -- nodes ' ] && cat <<'END'\n%sEND\n", offered)
	if err := os.WriteFile(filepath.Join(dir, "wptk"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	exit, err := proc.Run(t.Context(), proc.Spec{Path: bash, Args: []string{"--norc", "-s"}, Dir: dir, Trusted: true,
		Env: []string{"PATH=" + dir + ":/usr/bin:/bin"}, Stdout: &out, Stderr: &out,
		Stdin: strings.NewReader(script.String() + "COMP_WORDS=(wptk nodes ''); COMP_CWORD=2; _wptk; echo \"${COMPREPLY[*]}\"\n")})
	if err != nil || exit.Code != 0 {
		t.Fatalf("%v, %v: %s", exit, err, out.String())
	}
	if got := strings.Fields(out.String()); !slices.Contains(got, "drain") || !slices.Contains(got, "list") {
		t.Errorf("bash offers %q", got)
	}
}
