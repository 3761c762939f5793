package wp

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

// ResticConfig says where backups are kept and with what.
type ResticConfig struct {
	Program string // name or absolute path; "restic" when empty
	// URL is what repositories are below, one per account: an absolute directory, or s3:…,
	// sftp:…, rest:… as restic has them.
	URL string
	// Key is the fleet's: the password of every repository is derived from it. Whoever has
	// it reads all backups, and without it nobody reads any.
	Key      []byte
	StateDir string   // private: which repositories are there, and restic's cache
	Env      []string // credentials of the store, as NAME=value
	SSH      ResticSSH
	Log      *slog.Logger
}

// Restic keeps backups in restic repositories. It is given a stream and nothing else: it
// never sees a tenant's files. Its password goes in by a descriptor.
type Restic struct {
	program string
	nice    []string // what it is started by
	cfg     ResticConfig
	local   bool
	sftp    string // the command that reaches the store, if it is one of those

	making sync.Mutex // held while a repository is made

	mu    sync.Mutex
	locks map[string]*sync.RWMutex // by account: removing excludes reading and writing
}

const (
	minBackupKey = 32
	backupFile   = "backup.tar" // name of the stream in a snapshot
	backupTag    = "wptk"
)

var (
	accountPattern = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
	backupPattern  = regexp.MustCompile(`^(bk|op|wp)_[0-9a-f-]{8,40}$`)
)

// NewRestic checks what it was given. A local directory must be there: a disk that is not
// mounted must not become a directory full of backups.
func NewRestic(cfg ResticConfig) (*Restic, error) {
	r := &Restic{cfg: cfg, local: filepath.IsAbs(cfg.URL), locks: map[string]*sync.RWMutex{}}
	if r.cfg.Log == nil {
		r.cfg.Log = slog.Default()
	}
	var err error
	if r.program, err = findProgram(cfg.Program, "restic"); err != nil {
		return nil, fmt.Errorf("finding restic: %w", err)
	}
	for _, helper := range [][]string{{"ionice", "-c2", "-n7"}, {"nice", "-n10"}} { // both are courtesy
		if path, err := findProgram(helper[0], ""); err == nil {
			r.nice = append(append(r.nice, path), helper[1:]...)
		}
	}
	if len(cfg.Key) < minBackupKey {
		return nil, fmt.Errorf("reading backup key: at least %d bytes are needed", minBackupKey)
	}
	if err := r.checkURL(); err != nil {
		return nil, err
	}
	for _, dir := range []string{r.marks(), r.cache()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("making state directory of backups: %w", err)
		}
	}
	return r, nil
}

func (r *Restic) checkURL() error {
	if r.local {
		info, err := os.Stat(r.cfg.URL)
		if err != nil {
			return fmt.Errorf("looking at backup directory: %w", err)
		}
		if !info.IsDir() {
			return fmt.Errorf("looking at backup directory: %s is none", r.cfg.URL)
		}
		return nil
	}
	kind, rest, _ := strings.Cut(r.cfg.URL, ":")
	if !slices.Contains([]string{"s3", "sftp", "rest", "b2", "azure", "gs", "swift"}, kind) || rest == "" {
		return fmt.Errorf("reading backup address: %q is neither an absolute directory nor one of s3:, sftp:, rest:, b2:, azure:, gs:, swift: addresses", kind)
	}
	if u, err := url.Parse(rest); err == nil && u.User != nil {
		if _, has := u.User.Password(); has {
			return errors.New("reading backup address: it has a password in it, which every user of the node could read; use the environment file")
		}
	}
	if kind != "sftp" {
		return nil
	}
	var err error
	r.sftp, err = r.cfg.SSH.command(r.cfg.URL)
	return err
}

func (r *Restic) marks() string { return filepath.Join(r.cfg.StateDir, "repositories") }
func (r *Restic) cache() string { return filepath.Join(r.cfg.StateDir, "cache") }

// Local is the directory of a local store, else "".
func (r *Restic) Local() string {
	if !r.local {
		return ""
	}
	return r.cfg.URL
}

func (r *Restic) lockOf(account string) *sync.RWMutex {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.locks[account] == nil {
		r.locks[account] = new(sync.RWMutex)
	}
	return r.locks[account]
}

// derive makes a secret of an account from the fleet's key.
func (r *Restic) derive(purpose, account string) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, r.cfg.Key, nil, "wptk backup "+purpose+"\x00"+account, 32)
	if err != nil {
		return nil, fmt.Errorf("deriving key of backups: %w", err)
	}
	return key, nil
}

// Save implements BackupStore.
func (r *Restic) Save(ctx context.Context, key BackupKey, write func(io.Writer) error) (StoredBackup, error) {
	lock := r.lockOf(key.Account)
	lock.RLock()
	defer lock.RUnlock()
	if err := r.ensure(ctx, key.Account); err != nil {
		return StoredBackup{}, err
	}
	record, err := r.seal(key.Account, key.Record)
	if err != nil {
		return StoredBackup{}, err
	}
	args := []string{"backup", "--json", "--stdin", "--stdin-filename=" + backupFile, "--host=" + backupTag}
	for _, tag := range []string{backupTag, key.ID, key.Site, key.Op, "type=" + key.Type, recordTag + record} {
		args = append(args, "--tag="+tag)
	}
	in, feed := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		err := write(feed)
		feed.CloseWithError(err)
		wrote <- err
	}()
	out := proc.Capped(64 << 10) // the summary is its last line
	err = r.run(ctx, resticRun{account: key.Account, args: args, stdin: in, stdout: out})
	in.CloseWithError(io.ErrClosedPipe)
	if writeErr := <-wrote; writeErr != nil && !errors.Is(writeErr, io.ErrClosedPipe) {
		return StoredBackup{}, writeErr
	}
	if err != nil {
		return StoredBackup{}, fmt.Errorf("storing backup: %w", err)
	}
	return parseResticSummary(out.Bytes())
}

// parseResticSummary reads the last line of restic backup --json.
func parseResticSummary(out []byte) (StoredBackup, error) {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var s struct {
		MessageType string `json:"message_type"`
		SnapshotID  string `json:"snapshot_id"`
		DataAdded   int64  `json:"data_added"`
		Processed   int64  `json:"total_bytes_processed"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil || s.MessageType != "summary" || s.SnapshotID == "" {
		return StoredBackup{}, fmt.Errorf("reading summary of restic: %w", errors.Join(ErrBackupStore, err))
	}
	return StoredBackup{Snapshot: s.SnapshotID, Bytes: s.Processed, Added: s.DataAdded}, nil
}

// Load implements BackupStore.
func (r *Restic) Load(ctx context.Context, account, id string) (io.ReadCloser, error) {
	if !accountPattern.MatchString(account) || !backupPattern.MatchString(id) {
		return nil, ErrNoBackup
	}
	switch known, err := r.known(ctx, account); {
	case err != nil:
		return nil, err
	case !known:
		return nil, ErrNoBackup
	}
	ctx, cancel := context.WithCancel(ctx)
	out, w := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lock := r.lockOf(account)
		lock.RLock()
		defer lock.RUnlock()
		err := r.run(ctx, resticRun{account: account, args: []string{"dump", "--tag=" + id, "latest", "/" + backupFile}, stdout: w})
		w.CloseWithError(err)
	}()
	return &resticStream{PipeReader: out, cancel: cancel, ended: ended}, nil
}

// resticStream is a snapshot that is being read. Its end is an error when restic had one.
type resticStream struct {
	*io.PipeReader
	cancel context.CancelFunc
	ended  chan struct{}
}

// Close stops restic, if it is not done, and waits for its end.
func (s *resticStream) Close() error {
	s.cancel()
	err := s.PipeReader.Close()
	<-s.ended
	return err
}

const recordTag = "record="

// snapshot is one of restic snapshots --json.
type snapshot struct {
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	Tags []string  `json:"tags"`
}

// key reads the tags; ok is false for a snapshot that is none of ours.
func (s snapshot) key(account string) (key BackupKey, record string, ok bool) {
	key = BackupKey{Account: account, Created: s.Time.UTC(), Snapshot: s.ID}
	for _, tag := range s.Tags {
		switch {
		case strings.HasPrefix(tag, "bk_"):
			key.ID = tag
		case strings.HasPrefix(tag, "op_"):
			key.Op = tag
		case strings.HasPrefix(tag, "wp_"):
			key.Site = tag
		case strings.HasPrefix(tag, "type="):
			key.Type = strings.TrimPrefix(tag, "type=")
		case strings.HasPrefix(tag, recordTag):
			record = strings.TrimPrefix(tag, recordTag)
		}
	}
	return key, record, key.ID != ""
}

func (r *Restic) snapshots(ctx context.Context, account string) ([]snapshot, error) {
	if known, err := r.known(ctx, account); err != nil || !known {
		return nil, err
	}
	out := &strings.Builder{}
	if err := r.run(ctx, resticRun{account: account, args: []string{"snapshots", "--json", "--tag=" + backupTag}, stdout: out}); err != nil {
		return nil, fmt.Errorf("listing backups: %w", err)
	}
	var all []snapshot
	if err := json.Unmarshal([]byte(out.String()), &all); err != nil {
		return nil, fmt.Errorf("listing backups: %w", err)
	}
	return all, nil
}

// List implements BackupStore. A record that cannot be opened is left out.
func (r *Restic) List(ctx context.Context, account string) ([]BackupKey, error) {
	lock := r.lockOf(account)
	lock.RLock()
	defer lock.RUnlock()
	all, err := r.snapshots(ctx, account)
	if err != nil {
		return nil, err
	}
	var keys []BackupKey
	for _, s := range all {
		key, record, ok := s.key(account)
		if !ok {
			continue
		}
		if key.Record, err = r.open(account, record); err != nil {
			r.cfg.Log.Warn("reading the record of a backup", "backup", key.ID, "err", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// Forget implements BackupStore: names are ids of backups, or of the ops that made them.
func (r *Restic) Forget(ctx context.Context, account string, names ...string) error {
	lock := r.lockOf(account)
	// Not waited for: an op that reads may save as well, and would wait behind us for ever.
	if !lock.TryLock() {
		return fmt.Errorf("forgetting backups: %w", ErrBackupBusy)
	}
	defer lock.Unlock()
	all, err := r.snapshots(ctx, account)
	if err != nil {
		return err
	}
	args := []string{"forget"}
	for _, s := range all {
		if slices.ContainsFunc(names, func(name string) bool { return name != backupTag && slices.Contains(s.Tags, name) }) {
			args = append(args, s.ID)
		}
	}
	if len(args) == 1 {
		return nil
	}
	if err := os.WriteFile(r.pruneMark(account), nil, 0o600); err != nil {
		return fmt.Errorf("remembering what to give back: %w", err)
	}
	if err := r.alone(ctx, account, args...); err != nil {
		return fmt.Errorf("forgetting backups: %w", err)
	}
	return nil
}

func (r *Restic) pruneMark(account string) string { return filepath.Join(r.marks(), account+".prune") }

// Prune gives back the room of forgotten backups, for every account that has some. It is
// long work that keeps others from the repository, so it is done seldom.
func (r *Restic) Prune(ctx context.Context) error {
	marks, err := filepath.Glob(filepath.Join(r.marks(), "*.prune"))
	if err != nil {
		return fmt.Errorf("looking for repositories to prune: %w", err)
	}
	var errs []error
	for _, mark := range marks {
		account := strings.TrimSuffix(filepath.Base(mark), ".prune")
		lock := r.lockOf(account)
		if !lock.TryLock() {
			continue // in use: the next time
		}
		err := r.alone(ctx, account, "prune")
		if err == nil {
			err = os.Remove(mark)
		}
		lock.Unlock()
		if err != nil {
			errs = append(errs, fmt.Errorf("pruning backups of %s: %w", account, err))
		}
	}
	return errors.Join(append(errs, r.boundCache())...)
}

// maxCache is how much of remote repositories' indexes is kept at hand.
const maxCache = 2 << 30

// boundCache empties a cache that has grown too large; restic fills it anew.
func (r *Restic) boundCache() error {
	var total int64
	err := filepath.WalkDir(r.cache(), func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	if err == nil && total > maxCache {
		err = errors.Join(os.RemoveAll(r.cache()), os.MkdirAll(r.cache(), 0o700))
	}
	if err != nil {
		return fmt.Errorf("looking at cache of backups: %w", err)
	}
	return nil
}

func shortSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}
