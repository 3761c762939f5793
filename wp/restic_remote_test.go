package wp

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/wispanel/wptk/wp/proc"
	"github.com/wispanel/wptk/wp/wptest"
)

// remote is a store that is reached by an address.
type remote struct {
	cfg     ResticConfig
	secrets []string // that nobody may see
	strange ResticConfig
}

func remotes(t *testing.T) map[string]remote {
	s3, sftp := wptest.NewS3(t), wptest.NewSFTP(t)
	return map[string]remote{
		"s3": {
			cfg:     ResticConfig{URL: s3.Bucket, Env: s3.Env()},
			secrets: []string{s3.AccessKey, s3.SecretKey},
			strange: ResticConfig{URL: s3.Bucket, Env: []string{"AWS_ACCESS_KEY_ID=AKIDSTRANGER", "AWS_SECRET_ACCESS_KEY=x"}},
		},
		"sftp": {
			cfg:     ResticConfig{URL: sftp.URL, SSH: ResticSSH{Key: sftp.KeyFile, KnownHosts: sftp.KnownHosts}},
			strange: ResticConfig{URL: sftp.URL, SSH: ResticSSH{Key: sftp.KeyFile, KnownHosts: sftp.Strangers}},
		},
	}
}

func (m remote) open(t *testing.T, cfg ResticConfig, log io.Writer) *Restic {
	t.Helper()
	cfg.Key, cfg.StateDir, cfg.Log = bytes.Repeat([]byte{1}, 32), t.TempDir(), slog.New(slog.NewTextHandler(log, nil))
	r, err := NewRestic(cfg)
	must(t, err)
	return r
}

func TestResticKeepsBackupsByAddress(t *testing.T) {
	t.Parallel()
	for name, m := range remotes(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			ctx, r, data := t.Context(), m.open(t, m.cfg, &log), noise(20<<20) // restic's largest piece is 8 MiB, and the last one is stored again
			if keys, err := r.List(ctx, "alice"); err != nil || keys != nil {
				t.Errorf("before the first: %v, %v", keys, err)
			}
			seen := ""
			first, err := r.Save(WithRun(ctx, RunHooks{Started: func(proc.Record) error { return nil }}), keyOf("1"), func(w io.Writer) error {
				seen = argumentsOf(t, "restic", r.repository("alice"))
				return writing(data)(w)
			})
			must(t, err)
			second, err := r.Save(ctx, keyOf("2"), writing(append(data, "more"...)))
			must(t, err)
			if first.Added < 20<<20 || second.Added > first.Added/2 {
				t.Errorf("first %+v, second %+v", first, second)
			}
			stream, err := r.Load(ctx, "alice", "bk_00000001")
			must(t, err)
			got, err := io.ReadAll(stream)
			must(t, err, stream.Close())
			if !bytes.Equal(got, data) {
				t.Errorf("%d bytes came back", len(got))
			}
			must(t, r.Forget(ctx, "alice", "bk_00000001"), r.Prune(ctx))
			if keys, err := r.List(ctx, "alice"); err != nil || len(keys) != 1 || keys[0].ID != "bk_00000002" {
				t.Errorf("%+v, %v", keys, err)
			}
			for _, secret := range m.secrets {
				if seen == "" || strings.Contains(seen, secret) || strings.Contains(log.String(), secret) {
					t.Errorf("restic ran with %q, and the log says %s", seen, log.String())
				}
			}
			m.mustNotBeMistaken(t)
		})
	}
}

// mustNotBeMistaken: a store that refuses is none that has nothing.
func (m remote) mustNotBeMistaken(t *testing.T) {
	t.Helper()
	r := m.open(t, m.strange, io.Discard)
	if keys, err := r.List(t.Context(), "alice"); !errors.Is(err, ErrBackupStore) || errors.Is(err, ErrNoBackup) {
		t.Errorf("the list of a store that refuses is %v, %v", keys, err)
	}
	if _, err := r.Load(t.Context(), "alice", "bk_00000002"); !errors.Is(err, ErrBackupStore) || errors.Is(err, ErrNoBackup) {
		t.Errorf("a backup in a store that refuses: %v", err)
	}
	if _, err := r.Save(t.Context(), keyOf("3"), writing([]byte("x"))); !errors.Is(err, ErrBackupStore) {
		t.Errorf("%v", err)
	}
}

func TestCommandOfSFTPTakesNothingForAFlag(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"sftp:backup@host.example:/srv/backups":     "-l backup -s -- host.example sftp",
		"sftp:host.example:backups":                 "-s -- host.example sftp",
		"sftp://backup@host.example:2222//srv/back": "-p 2222 -l backup -s -- host.example sftp",
		"sftp://[2001:db8::1]/srv":                  "-s -- 2001:db8::1 sftp",
		"sftp:-oProxyCommand=x:/srv":                "",
		"sftp:a@-oProxyCommand=x:/srv":              "",
		"sftp://a b@host/srv":                       "",
		"sftp://host:port/srv":                      "",
		"sftp:a'b@host:/srv":                        "",
		"sftp:":                                     "",
	} {
		got, err := ResticSSH{}.command(address)
		if (err == nil) != (want != "") || !strings.HasSuffix(got, want) || err == nil && !strings.Contains(got, "-oStrictHostKeyChecking=yes") {
			t.Errorf("%s: %q, %v", address, got, err)
		}
	}
	if got, err := (ResticSSH{Key: "/etc/x y"}).command("sftp:host:/srv"); err == nil {
		t.Errorf("%q", got)
	}
}
