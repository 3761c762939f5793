package wp

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/wp/proc"
)

// errNoRepository: there is none for the account yet.
var errNoRepository = errors.New("no repository")

// resticRun is one command.
type resticRun struct {
	account string
	args    []string
	stdin   io.Reader
	stdout  io.Writer
}

// run runs restic as root on a stream. Nothing of a tenant's but the name of the account is
// among its arguments; the password is in a file that only the run has open.
func (r *Restic) run(ctx context.Context, c resticRun) error {
	if !accountPattern.MatchString(c.account) {
		return fmt.Errorf("running restic: %q is no account", c.account)
	}
	password, err := r.passwordFile(c.account)
	if err != nil {
		return err
	}
	defer password.Close()
	hooks, _ := ctx.Value(hooksKey{}).(RunHooks)
	cache := "--cache-dir=" + r.cache()
	if r.local {
		cache = "--no-cache"
	}
	command := append(slices.Clone(r.nice), r.program, "--repo="+r.repository(c.account),
		fmt.Sprintf("--password-file=/proc/self/fd/%d", 3+len(hooks.Keep)), cache, "--cleanup-cache")
	if r.sftp != "" {
		command = append(command, "--option=sftp.command="+r.sftp)
	}
	command = append(command, c.args...)
	stderr := proc.Capped(maxStderr)
	exit, err := proc.Run(ctx, proc.Spec{
		Path: command[0], Args: command[1:], Env: r.env(), Trusted: true,
		Stdin: c.stdin, StdinWhole: c.stdin != nil, Stdout: c.stdout, Stderr: stderr,
		Keep: append(slices.Clone(hooks.Keep), password), Started: hooks.Started,
	})
	if err != nil {
		return err
	}
	if exit.Code != 0 {
		return resticError(c.args[0], exit.Code, stderr.Bytes())
	}
	return nil
}

// env has what restic needs, ssh for sftp too, and the credentials of the store.
func (r *Restic) env() []string {
	env := []string{"PATH=" + searchPath, "LANG=C.UTF-8", "HOME=" + r.home(),
		"RESTIC_PROGRESS_FPS=0.1", // each status is a line of JSON that nobody reads
		"GOGC=50",                 // its index of a large repository is most of its memory
	}
	return append(env, r.cfg.Env...)
}

func (r *Restic) home() string {
	if home, err := os.UserHomeDir(); err == nil {
		return home // where the keys for sftp are
	}
	return "/"
}

func (r *Restic) repository(account string) string {
	return strings.TrimSuffix(r.cfg.URL, "/") + "/" + account
}

// passwordFile is a file in memory with the repository's password.
func (r *Restic) passwordFile(account string) (*os.File, error) {
	key, err := r.derive("password", account)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("wptk-backup", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making password file: %w", err)
	}
	f := os.NewFile(uintptr(fd), "password")
	if _, err := f.WriteString(hex.EncodeToString(key) + "\n"); err != nil {
		return nil, errors.Join(fmt.Errorf("writing password file: %w", err), f.Close())
	}
	return f, nil
}

// noRepositoryStatus is how restic ends since 0.17 when there is no repository.
const noRepositoryStatus = 10

// resticError gives a failure its class. What restic says may have addresses of the
// operator's: it is for the log.
func resticError(command string, code int, stderr []byte) error {
	said := strings.ToLower(string(stderr))
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(said, w) })
	}
	class := ErrBackupStore
	switch {
	case has("no space left", "disk quota exceeded"):
		class = syscall.ENOSPC
	case has("already locked", "unable to create lock"):
		class = ErrBackupBusy
	case has("no snapshot found", "no matching id", "snapshot filter (paths:"):
		class = ErrNoBackup
	case has("wrong password", "no key found"):
		class = ErrBackupKey
	case code == noRepositoryStatus, has("unable to open config file") && has("does not exist", "doesn't exist", "not found", "no such file"):
		class = errNoRepository // every other reason not to open it is none for making one
	case has("host key verification failed"):
		class = fmt.Errorf("%w: the store's host key is not the known one", ErrBackupStore)
	}
	return fmt.Errorf("restic %s ended with status %d: %w: %s", command, code, class, firstError(string(bytes.TrimSpace(stderr))))
}

// ErrBackupKey says that the repository was made with another key.
var ErrBackupKey = errors.New("the backup key does not open the repository")

func (r *Restic) mark(account string) string {
	// The address is in the name: another store has other repositories.
	return filepath.Join(r.marks(), account+"-"+shortSum(r.cfg.URL))
}

// known reports whether the account has a repository, without asking each time.
func (r *Restic) known(ctx context.Context, account string) (bool, error) {
	if r.local { // cheap, and true even after somebody has tidied up
		_, err := os.Stat(filepath.Join(r.repository(account), "config"))
		return err == nil, nil
	}
	if _, err := os.Stat(r.mark(account)); err == nil {
		return true, nil
	}
	err := r.run(ctx, resticRun{account: account, args: []string{"cat", "config"}})
	if errors.Is(err, errNoRepository) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for repository: %w", err)
	}
	return true, r.remember(account)
}

// removeUnborn removes what an init that was killed has left: a repository without config.
// One that has anything in it has lost its config some other way, and is left for its owner.
func removeUnborn(dir string) error {
	for _, part := range []string{"snapshots", "index", "data"} {
		err := filepath.WalkDir(filepath.Join(dir, part), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				err = fmt.Errorf("%w: %s has backups but no config", ErrBackupStore, dir)
			}
			return err
		})
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return os.RemoveAll(dir)
}

func (r *Restic) remember(account string) error {
	if err := os.WriteFile(r.mark(account), nil, 0o600); err != nil {
		return fmt.Errorf("remembering repository: %w", err)
	}
	return nil
}

// ensure makes the account's repository when there is none.
func (r *Restic) ensure(ctx context.Context, account string) error {
	r.making.Lock() // two ops of a new account at once
	defer r.making.Unlock()
	known, err := r.known(ctx, account)
	if err != nil || known {
		return err
	}
	if r.local {
		if err := r.checkURL(); err != nil { // has the disk been taken away?
			return fmt.Errorf("%w: %w", ErrBackupStore, err)
		}
		if err := removeUnborn(r.repository(account)); err != nil {
			return fmt.Errorf("making repository: %w", err)
		}
	}
	if err := r.run(ctx, resticRun{account: account, args: []string{"init"}}); err != nil {
		return fmt.Errorf("making repository: %w", err)
	}
	return r.remember(account)
}

// alone runs a command that needs the repository for itself. Locks of runs that were killed
// are removed once; restic tells them from those of the living.
func (r *Restic) alone(ctx context.Context, account string, args ...string) error {
	err := r.run(ctx, resticRun{account: account, args: args})
	if !errors.Is(err, ErrBackupBusy) {
		return err
	}
	if err := r.run(ctx, resticRun{account: account, args: []string{"unlock"}}); err != nil {
		return err
	}
	return r.run(ctx, resticRun{account: account, args: args})
}

// seal encrypts a record: arguments are public on a node.
func (r *Restic) seal(account string, record []byte) (string, error) {
	aead, err := r.aead(account)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce) // never fails
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, record, nil)), nil
}

func (r *Restic) open(account, sealed string) ([]byte, error) {
	aead, err := r.aead(account)
	if err != nil {
		return nil, err
	}
	data, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil || len(data) < aead.NonceSize() {
		return nil, fmt.Errorf("opening record: %w", ErrBackupDamaged)
	}
	record, err := aead.Open(nil, data[:aead.NonceSize()], data[aead.NonceSize():], nil)
	if err != nil {
		return nil, fmt.Errorf("opening record: %w", err)
	}
	return record, nil
}

func (r *Restic) aead(account string) (cipher.AEAD, error) {
	key, err := r.derive("record", account)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("sealing record: %w", err)
	}
	return cipher.NewGCM(block)
}
