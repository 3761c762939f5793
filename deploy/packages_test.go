package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// packaged is what nfpm is told of a package's files.
type packaged struct {
	Contents []struct {
		Src, Dst, Type string
		Info           struct{ Mode int } `yaml:"file_info"`
	}
}

func TestPackagesHaveWhatTheyNameWithModesOfTheirOwn(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"wptk", "wptk-api", "wptk-worker"} {
		raw, err := os.ReadFile(filepath.Join("packages", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var p packaged
		if err := yaml.Unmarshal(raw, &p); err != nil || len(p.Contents) < 5 {
			t.Fatalf("%s: %d files, %v", name, len(p.Contents), err)
		}
		for _, f := range p.Contents {
			if strings.HasPrefix(f.Src, "units/") || strings.HasPrefix(f.Src, "settings/") {
				inRepo(t, filepath.Join("deploy/packages", f.Src))
			}
			settings := strings.HasPrefix(f.Dst, "/etc/")
			if settings != (f.Type == "config|noreplace") || settings != (f.Info.Mode == 0o640) || f.Info.Mode == 0 {
				t.Errorf("%s: %s has type %q and mode %o", name, f.Dst, f.Type, f.Info.Mode)
			}
		}
	}
}

// What systemd does when it verifies and runs the units is seen by make packages-check.
func TestUnitsKeepThePromisesOfTheDrainAndOfTheTenants(t *testing.T) {
	t.Parallel()
	for unit, lines := range map[string][]string{
		"wptk-api":    {"Type=notify", "User=wptk-api", "CapabilityBoundingSet=", "NoNewPrivileges=yes", "ProtectSystem=strict", "Restart=always"},
		"wptk-worker": {"Type=notify", "KillMode=mixed", "TimeoutStopSec=170", "WatchdogSec=60", "Delegate=yes", "NoNewPrivileges=yes", "UMask=0022", "Restart=always"},
	} {
		raw, err := os.ReadFile(filepath.Join("packages/units", unit+".service"))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(line) + `$`).Match(raw) {
				t.Errorf("%s.service does not say %s", unit, line)
			}
		}
	}
}
