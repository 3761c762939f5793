package tasks

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/wptest"
)

// loggedRestic is a configured binary: restic behind a script that writes its arguments down.
func loggedRestic(t *testing.T) (program, log string) {
	t.Helper()
	restic, err := exec.LookPath("restic")
	must(t, err)
	dir := t.TempDir()
	program, log = filepath.Join(dir, "newer-restic"), filepath.Join(dir, "arguments")
	must(t, os.WriteFile(program, fmt.Appendf(nil, "#!/bin/sh\nprintf '%%s\\n' \"$*\" >>%s\nexec %s \"$@\"\n", log, restic), 0o755))
	return program, log
}

// One site goes through stores of both sorts: stored, stored again, tried, brought back.
func TestSitesComeBackFromStoresByAddress(t *testing.T) {
	t.Parallel()
	s := newShopper(t, "remo")
	must(t, os.RemoveAll(filepath.Join(s.docroot(), "wp-content/themes"))) // slow and no different
	s3, sftp := wptest.NewS3(t), wptest.NewSFTP(t)
	for name, cfg := range map[string]wp.ResticConfig{
		"s3":   {URL: s3.Bucket, Env: s3.Env()},
		"sftp": {URL: sftp.URL, SSH: wp.ResticSSH{Key: sftp.KeyFile, KnownHosts: sftp.KnownHosts}},
	} {
		var log bytes.Buffer
		var arguments string
		cfg.Program, arguments = loggedRestic(t)
		cfg.Key, cfg.StateDir, cfg.Log = bytes.Repeat([]byte("k"), 32), t.TempDir(), slog.New(slog.NewTextHandler(&log, nil))
		store, err := wp.NewRestic(cfg)
		must(t, err)
		s.node.host.Backups, s.node.catalog = store, &memoryCatalog{}
		s.survivesIn(t, name)

		ran, err := os.ReadFile(arguments)
		must(t, err)
		for _, secret := range []string{s3.AccessKey, s3.SecretKey} {
			if strings.Contains(string(ran)+log.String(), secret) {
				t.Errorf("%s: a credential is among arguments or in the log: %s", name, ran)
			}
		}
		if strings.Count(string(ran), " --stdin ") != 2 || !strings.Contains(string(ran), cfg.URL) {
			t.Errorf("%s: the configured binary ran with %s", name, ran)
		}
	}
}

// survivesIn takes the site through the store that its node has now.
func (s *shopper) survivesIn(t *testing.T, name string) {
	t.Helper()
	s.order.put("state.txt", name)
	s.exec("REPLACE INTO {db}options (option_name, option_value, autoload) VALUES ('state', ?, 'no')", name+" ☕")
	made := answerOf[Backup](t, s.then(t, "backup", `{}`).mustEnd(Succeeded))
	again := answerOf[Backup](t, s.then(t, "backup", `{}`).mustEnd(Succeeded))
	if made.Added == 0 || again.Added > made.Bytes/100 {
		t.Errorf("%s: of %d bytes %d were added, then %d", name, made.Bytes, made.Added, again.Added)
	}
	tried := answerOf[VerifyResult](t, s.then(t, "backup.verify", `{"backup_id":"`+made.ID+`"}`).mustEnd(Succeeded))
	if tried.Verified != VerifiedOK || tried.Files != made.Files {
		t.Errorf("%s: %+v", name, tried)
	}
	s.order.put("state.txt", "spoiled")
	s.exec("DELETE FROM {db}options WHERE option_name = 'state'")
	out := s.then(t, "restore", `{"backup_id":"`+made.ID+`","checkpoint":false}`).mustEnd(Succeeded)
	s.db = answerOf[RestoreResult](t, out).Database
	file, err := os.ReadFile(filepath.Join(s.docroot(), "state.txt"))
	if got := s.optionOf("state"); err != nil || string(file) != name || got != name+" ☕" {
		t.Errorf("%s came back as %q and %q, %v", name, file, got, err)
	}
	s.mustKeepSecrets(out)
}
