package dashboards

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the boards and the rules anew")

func TestCommittedFilesAreWhatTheCodeSays(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{RulesFile: RenderRules()}
	for _, board := range Boards {
		text, err := board.Render()
		if err != nil {
			t.Fatal(err)
		}
		files[board.File] = text
	}
	for name, want := range files {
		if *update {
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs from the code (%v); run go test ./dashboards -update", name, err)
		}
	}
}

// known are the metrics that exist, with their labels between commas: the lists that the
// queue, the worker and the API are held to, and what comes with every Go process.
func known(t *testing.T) map[string]string {
	t.Helper()
	labels := map[string]string{
		"wptk_tls_certificate_expiry_timestamp_seconds": "",
		"process_start_time_seconds":                    "", "process_cpu_seconds_total": "", "process_resident_memory_bytes": "",
		"process_open_fds": "", "go_goroutines": "", "up": "",
	}
	for _, golden := range []string{"../queue/testdata/metrics.txt", "../cmd/worker/testdata/metrics.txt"} {
		text, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			name, rest, _ := strings.Cut(strings.TrimSpace(line), "{")
			labels[name] = rest[:strings.Index(rest, "}")]
		}
	}
	for name, list := range labels {
		labels[name] = "," + list + ",le,instance,job,"
	}
	return labels
}

var (
	metric = regexp.MustCompile(`\b(?:wptk|process|go)_[a-z_]+|\bup\b`)
	used   = regexp.MustCompile(`by \(([a-z, ]+)\)|([a-z]+)(?:=|!=|=~)"`)
)

// unknown tells what an expression asks for that does not exist, and notes what it asks for.
func unknown(labels map[string]string, asked map[string]bool, expr string) (wrong []string) {
	var have strings.Builder
	// "(wptk-.*)" in a matcher is no metric, so text in quotes is left out.
	bare := regexp.MustCompile(`"[^"]*"`).ReplaceAllString(expr, `""`)
	for _, name := range metric.FindAllString(bare, -1) {
		name = strings.TrimSuffix(name, "_bucket")
		asked[name] = true
		list, ok := labels[name]
		if !ok {
			wrong = append(wrong, "no metric "+name)
		}
		have.WriteString(list)
	}
	for _, m := range used.FindAllStringSubmatch(bare, -1) {
		for label := range strings.SplitSeq(m[1]+m[2], ",") {
			if label = strings.TrimSpace(label); !strings.Contains(have.String(), ","+label+",") {
				wrong = append(wrong, "no label "+label)
			}
		}
	}
	return wrong
}

func TestPanelsAndAlertsAskForMetricsThatExist(t *testing.T) {
	t.Parallel()
	labels, asked := known(t), map[string]bool{}
	check := func(what, expr string) {
		for _, wrong := range unknown(labels, asked, expr) {
			t.Errorf("%s: %s", what, wrong)
		}
	}
	for _, a := range Alerts {
		check(a.Name, a.Expr())
	}
	clear(asked) // what only an alert watches, nobody can look at
	check("annotations", Deploys)
	for _, board := range Boards {
		for _, panel := range board.Panels {
			for _, target := range panel.Targets {
				check(board.Title+": "+panel.Title, target.Expr)
			}
		}
	}
	for name := range labels {
		if strings.HasPrefix(name, "wptk_") && !asked[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

func TestBoardsHaveTheVariablesOfTheirExpressionsAndNoOthers(t *testing.T) {
	t.Parallel()
	for _, board := range Boards {
		declared, missing := map[string]bool{}, regexp.MustCompile(`\$[a-z]+`)
		for _, v := range board.Vars {
			declared["$"+v.Name] = false
		}
		for _, panel := range board.Panels {
			for _, target := range panel.Targets {
				for _, name := range missing.FindAllString(target.Expr, -1) {
					if _, ok := declared[name]; !ok {
						t.Errorf("%s: %s has no %s", board.Title, panel.Title, name)
					}
					declared[name] = true
				}
			}
		}
		for name, used := range declared {
			if !used {
				t.Errorf("%s: nothing uses %s", board.Title, name)
			}
		}
	}
}

func TestEveryAlertHasARunbookAndATest(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	cases, err := os.ReadFile("wptk.test.yml")
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllSubmatch(manual, -1) {
		anchors[Anchor(string(m[1]))] = true
	}
	for _, a := range Alerts {
		if !anchors[Anchor(a.Runbook)] {
			t.Errorf("%s: docs/operations.md has no heading %q", a.Name, a.Runbook)
		}
		if !bytes.Contains(cases, []byte("alertname: "+a.Name+"}")) || !bytes.Contains(cases, []byte("alertname: "+a.Name+"\n        exp_alerts")) {
			t.Errorf("%s: wptk.test.yml does not have it quiet and firing", a.Name)
		}
	}
}

// TestRulesFireWhenTheyShould needs promtool, which setup --with-prometheus installs.
// Elsewhere the files are held to the code alone, and `make dashboards-check` does the rest.
func TestRulesFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Logf("only the files were compared, not the rules run: %v", err)
		return
	}
	for _, args := range [][]string{{"check", "rules", RulesFile}, {"test", "rules", "wptk.test.yml"}} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
