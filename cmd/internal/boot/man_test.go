package boot

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

type described struct {
	settings
	Must string   `help:"Must be there." required:"" placeholder:"ID"`
	Many []string `help:"Several." default:"/home/*/x"`
	Odd  string   `help:".dot first" default:"{a}: b"`
	Yes  bool     `help:"Yes."`
}

// printed is what a program prints that is asked for one thing and then ends.
func printed(t *testing.T, flag string) string {
	t.Helper()
	var out bytes.Buffer
	type ended struct{}
	parser, err := kong.New(new(described), append(Options("wptk-test", `Tries things. It's a "test" of C:\x.`),
		kong.Writers(&out, &out), kong.Exit(func(int) { panic(ended{}) }))...)
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if r := recover(); r != (ended{}) {
				t.Fatalf("it did not end: %v, %v", r, err)
			}
		}()
		_, err = parser.Parse([]string{flag})
	}()
	return out.String()
}

// Every line without its # is a setting, and the defaults are what holds without a file.
func TestExampleFileIsASettingsFile(t *testing.T) {
	t.Parallel()
	example := printed(t, "--example")
	if got := regexp.MustCompile(`(?m)^[^#\n].*`).FindString(example); got != "" {
		t.Errorf("%q is not commented out", got)
	}
	file := filepath.Join(t.TempDir(), "wptk.yaml")
	live := regexp.MustCompile(`(?m)^#([a-z-]+: )`).ReplaceAllString(example, "$1")
	live = regexp.MustCompile(`(?m)^(.*): (FILE|STRING|URL|NAME)$`).ReplaceAllString(live, "#")
	if err := os.WriteFile(file, []byte(live), 0o600); err != nil {
		t.Fatal(err)
	}
	var without, with described
	if err := Parse("x", "", &without, []string{"--must=ID"}); err != nil {
		t.Fatal(err)
	}
	if err := Parse("x", "", &with, []string{"--config", file}); err != nil {
		t.Fatalf("%v\n%s", err, live)
	}
	with.Config = ""
	if !reflect.DeepEqual(with, without) {
		t.Errorf("with the example\n%+v\nwithout\n%+v", with, without)
	}
}

func TestManualPageHasEveryFlagAsItIs(t *testing.T) {
	t.Parallel()
	man := printed(t, "--man")
	for _, want := range []string{`.TH "WPTK\-TEST" "8" ""`, "\n.B \\-\\-must=ID\nMust be there. Environment: WPTK_MUST. Must be set.\n",
		"\n\\&.dot first Environment", `"test" of C:\ex`, "Default: /home/*/x."} {
		if !strings.Contains(man, want) {
			t.Errorf("%q is not there:\n%s", want, man)
		}
	}
	if strings.Contains(man, "cpu") {
		t.Error("a hidden flag is shown")
	}
}

func TestManualPageHasTheDayOfItsBuild(t *testing.T) {
	t.Parallel()
	for epoch, want := range map[string]string{"": "", "1795529691": "2026-11-24", "0": "1970-01-01"} {
		if got, err := builtOn(epoch); got != want || err != nil {
			t.Errorf("%q: %q, %v", epoch, got, err)
		}
	}
	if _, err := builtOn("soon"); err == nil {
		t.Error("no number, no error")
	}
}
