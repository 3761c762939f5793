package wp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/wispanel/wptk/wp/proc"
)

func newRestic(t *testing.T, dir string, key byte) *Restic {
	t.Helper()
	r, err := NewRestic(ResticConfig{URL: dir, Key: bytes.Repeat([]byte{key}, 32), StateDir: t.TempDir()})
	must(t, err)
	return r
}

func keyOf(n string) BackupKey {
	return BackupKey{Account: "alice", ID: "bk_0000000" + n, Op: "op_0000000" + n, Site: "wp_12345678", Type: "full", Record: []byte(`{"label":"geheim"}`)}
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func writing(data []byte) func(io.Writer) error {
	return func(w io.Writer) error { _, err := w.Write(data); return err }
}

func TestResticGivesBackWhatItGot(t *testing.T) {
	t.Parallel()
	ctx, r, data := t.Context(), newRestic(t, t.TempDir(), 1), noise(32<<20)
	if keys, err := r.List(ctx, "alice"); err != nil || keys != nil {
		t.Errorf("before the first: %v, %v", keys, err)
	}
	if err := r.Forget(ctx, "alice", "bk_00000009"); err != nil {
		t.Error(err)
	}
	first, err := r.Save(ctx, keyOf("1"), writing(data))
	must(t, err)
	second, err := r.Save(ctx, keyOf("2"), writing(append(data, "more"...)))
	must(t, err)
	if first.Bytes != 32<<20 || second.Added > first.Added/2 {
		t.Errorf("first %+v, second %+v", first, second)
	}
	read := func(id string) ([]byte, error) {
		stream, err := r.Load(ctx, "alice", id)
		if err != nil {
			return nil, err
		}
		got, err := io.ReadAll(stream)
		must(t, stream.Close())
		return got, err
	}
	if got, err := read("bk_00000001"); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	keys, err := r.List(ctx, "alice")
	if err != nil || len(keys) != 2 || keys[0].ID != "bk_00000001" || string(keys[0].Record) != `{"label":"geheim"}` || !strings.HasPrefix(keys[0].Snapshot, first.Snapshot) {
		t.Errorf("%+v, %v", keys, err)
	}
	must(t, r.Forget(ctx, "alice", "op_00000001"), r.Forget(ctx, "alice", "op_00000001"), r.Forget(ctx, "alice", backupTag), r.Prune(ctx))
	if _, err := read("bk_00000001"); !errors.Is(err, ErrNoBackup) {
		t.Errorf("a forgotten one: %v", err)
	}
	if got, err := read("bk_00000002"); err != nil || len(got) != 32<<20+4 {
		t.Errorf("the other one: %d bytes, %v", len(got), err)
	}
}

func TestResticStoresNothingOfAStreamThatFails(t *testing.T) {
	t.Parallel()
	r, broken := newRestic(t, t.TempDir(), 1), errors.New("the tenant's tree is gone")
	_, err := r.Save(t.Context(), keyOf("1"), func(w io.Writer) error {
		_, err := w.Write(noise(3 << 20))
		return errors.Join(err, broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if keys, err := r.List(t.Context(), "alice"); err != nil || len(keys) != 0 {
		t.Errorf("%+v, %v", keys, err)
	}
}

func TestResticOpensNothingWithAnotherKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := newRestic(t, dir, 1).Save(t.Context(), keyOf("1"), writing([]byte("x")))
	must(t, err)
	if _, err := newRestic(t, dir, 2).List(t.Context(), "alice"); !errors.Is(err, ErrBackupKey) {
		t.Errorf("%v", err)
	}
}

func TestResticKeepsPasswordAndLabelOutOfArguments(t *testing.T) {
	t.Parallel()
	r := newRestic(t, t.TempDir(), 1)
	password, err := r.derive("password", "alice")
	must(t, err)
	var seen string
	hooks := RunHooks{Started: func(rec proc.Record) error { return nil }}
	_, err = r.Save(WithRun(t.Context(), hooks), keyOf("1"), func(w io.Writer) error {
		seen = argumentsOf(t, "restic", r.repository("alice"))
		return writing([]byte("x"))(w)
	})
	must(t, err)
	if seen == "" || strings.Contains(seen, "geheim") || strings.Contains(seen, string(password)) || !strings.Contains(seen, "--stdin") {
		t.Errorf("restic ran with %q", seen)
	}
}

// argumentsOf waits until the program runs with a repository, and reads its arguments.
func argumentsOf(t *testing.T, program, repository string) string {
	t.Helper()
	for t.Context().Err() == nil {
		files, err := filepath.Glob("/proc/[0-9]*/cmdline")
		must(t, err)
		for _, file := range files {
			line, err := os.ReadFile(file)
			args := strings.Split(string(line), "\x00")
			if err == nil && filepath.Base(args[0]) == program && slices.Contains(args, "--repo="+repository) {
				return strings.Join(args, " ")
			}
		}
	}
	return ""
}

func TestResticRefusesToMakeARepositoryOverALostOne(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	r := newRestic(t, dir, 1)
	_, err := r.Save(ctx, keyOf("1"), writing([]byte("x")))
	must(t, err, os.Remove(filepath.Join(dir, "alice", "config")))
	if _, err := r.Save(ctx, keyOf("2"), writing([]byte("x"))); !errors.Is(err, ErrBackupStore) {
		t.Errorf("%v", err)
	}
	// An init that was killed.
	must(t, os.RemoveAll(filepath.Join(dir, "alice")), os.MkdirAll(filepath.Join(dir, "alice", "keys"), 0o700), os.MkdirAll(filepath.Join(dir, "alice", "data"), 0o700))
	_, err = r.Save(ctx, keyOf("3"), writing([]byte("x")))
	must(t, err)
	must(t, os.RemoveAll(dir)) // the disk is not mounted
	if _, err := r.Save(ctx, keyOf("4"), writing([]byte("x"))); !errors.Is(err, ErrBackupStore) {
		t.Errorf("%v", err)
	}
}

func TestResticConfigThatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{1}, 32)
	for name, cfg := range map[string]ResticConfig{
		"short key":   {URL: t.TempDir(), Key: []byte("short")},
		"no program":  {URL: t.TempDir(), Key: key, Program: "/nonexistent"},
		"no such dir": {URL: "/nonexistent/backups", Key: key},
		"relative":    {URL: "backups", Key: key},
		"flag":        {URL: "--help", Key: key},
		"password":    {URL: "rest:https://user:pass@host/", Key: key},
	} {
		cfg.StateDir = t.TempDir()
		if r, err := NewRestic(cfg); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestResticErrorsHaveTheirClass(t *testing.T) {
	t.Parallel()
	for said, class := range map[string]error{
		"Fatal: unable to save snapshot: write /x: no space left on device":                                               syscall.ENOSPC,
		"Fatal: unable to create lock in backend: repository is already locked exclusively by PID 1":                      ErrBackupBusy,
		"Fatal: wrong password or no key found":                                                                           ErrBackupKey,
		"Fatal: dial tcp: connection refused":                                                                             ErrBackupStore,
		"Fatal: unable to open config file: Stat: Access Denied.\nIs there a repository at the following location?\ns3:x": ErrBackupStore,
		"Fatal: unable to open config file: Lstat: file does not exist\nIs there a repository at":                         errNoRepository,
		"Fatal: unable to open config file: Stat: The specified key does not exist.":                                      errNoRepository,
		"Host key verification failed.\nFatal: unable to open repository at sftp:x: EOF":                                  ErrBackupStore,
	} {
		if err := resticError("backup", 1, []byte(said)); !errors.Is(err, class) {
			t.Errorf("%s: %v", said, err)
		}
	}
}

func TestResticStopsWithItsReader(t *testing.T) {
	t.Parallel()
	r := newRestic(t, t.TempDir(), 1)
	_, err := r.Save(t.Context(), keyOf("1"), writing(noise(4<<20)))
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := r.Load(ctx, "alice", "bk_00000001")
	must(t, err)
	_, err = io.ReadFull(stream, make([]byte, 1000))
	must(t, err)
	cancel()
	if _, err := io.Copy(io.Discard, stream); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	must(t, stream.Close())
}
