package dashboards

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the boards' files anew")

func TestCommittedBoardsAreWhatTheCodeSays(t *testing.T) {
	t.Parallel()
	for _, board := range Boards {
		want, err := board.Render()
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(board.File, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(board.File)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs from the code (%v); run go test ./dashboards -update", board.File, err)
		}
	}
}

// TestPanelsAskForMetricsThatExist reads the golden list that the queue package
// holds its own metrics to.
func TestPanelsAskForMetricsThatExist(t *testing.T) {
	t.Parallel()
	golden, err := os.ReadFile("../queue/testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{}
	for line := range strings.Lines(string(golden)) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), "{")
		labels[name] = "," + rest[:strings.Index(rest, "}")] + ",le,instance,"
	}
	metric := regexp.MustCompile(`wptk_[a-z_]+`)
	used := regexp.MustCompile(`(?:by \(([a-z, ]+)\))|(?:([a-z]+)=")`)
	asked := map[string]bool{}
	for _, board := range Boards {
		for _, panel := range board.Panels {
			for _, target := range panel.Targets {
				name := strings.TrimSuffix(metric.FindString(target.Expr), "_bucket")
				asked[name] = true
				if _, ok := labels[name]; !ok {
					t.Errorf("%s: no metric %q", panel.Title, name)
				}
				for _, m := range used.FindAllStringSubmatch(target.Expr, -1) {
					for label := range strings.SplitSeq(m[1]+m[2], ",") {
						if !strings.Contains(labels[name], ","+strings.TrimSpace(label)+",") {
							t.Errorf("%s: %s has no label %q", panel.Title, name, label)
						}
					}
				}
			}
		}
	}
	for name := range labels {
		if !asked[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}
