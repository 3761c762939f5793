package boot

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type settings struct {
	Base
	Redis
	Listen string `help:"Address." default:"127.0.0.1:1"`
	Token  string `help:"Token." secret:""`
}

func (s *settings) Validate() error {
	if s.Listen == "bad" {
		return fmt.Errorf("--listen: %q is not an address", s.Listen)
	}
	return nil
}

func TestFlagsWinOverEnvironmentAndEnvironmentOverFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wptk.yaml")
	if err := os.WriteFile(file, []byte("listen: from-file\nlog-format: text\nredis-username: from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("WPTK_LISTEN", "from-env")
	t.Setenv("WPTK_LOG_FORMAT", "json")

	var got settings
	if err := Parse("x", "", &got, []string{"--config", file, "--listen", "from-flag"}); err != nil {
		t.Fatal(err)
	}
	if got.Listen != "from-flag" || got.LogFormat != "json" || got.RedisUsername != "from-file" {
		t.Errorf("listen=%q log-format=%q redis-username=%q", got.Listen, got.LogFormat, got.RedisUsername)
	}
}

func TestWrongSettingNamesItsFlag(t *testing.T) {
	t.Parallel()
	err := Parse("x", "", &settings{}, []string{"--listen", "bad"})
	if err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("error %v does not name the flag", err)
	}
}

func TestDumpShowsNoSecret(t *testing.T) {
	t.Parallel()
	cfg := &settings{Token: "hush", Redis: Redis{RedisURL: "redis://user:hush@127.0.0.1/0"}}
	if got := Dump(cfg).String(); strings.Contains(got, "hush") || !strings.Contains(got, "Token_set") {
		t.Errorf("dump = %s", got)
	}
}

func TestSettingsFileMayBeEmptyAndHaveListsButMustBeYAML(t *testing.T) {
	t.Parallel()
	type listed struct {
		settings
		Sites []string `help:"Places."`
		Slots int      `help:"Number." default:"4"`
		Drain bool     `help:"Switch."`
	}
	parse := func(text string) (got listed, err error) {
		file := filepath.Join(t.TempDir(), "wptk.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return got, Parse("x", "", &got, []string{"--config", file})
	}
	if got, err := parse("# nothing yet\n"); err != nil || got.Slots != 4 {
		t.Errorf("an empty file: %d slots, %v", got.Slots, err)
	}
	got, err := parse("sites: [/home/*/domains/*, /srv/*/*]\nslots: 7\ndrain: true\n")
	if err != nil || len(got.Sites) != 2 || got.Slots != 7 || !got.Drain {
		t.Errorf("sites %q, slots %d, drain %v, %v", got.Sites, got.Slots, got.Drain, err)
	}
	for _, bad := range []string{"listen: [", "- listen\n", "listen: a\nlisten: b\n"} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q is taken for settings", bad)
		}
	}
}
