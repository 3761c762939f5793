package wp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"time"
)

// Snapshot is the copy of a site's tables that an update can be taken back with: a database
// of its own, which wp-config.php names instead once the update is taken back. It is without
// secrets, and is on the node's disk for as long as there is something to clean up.
type Snapshot struct {
	Op      string `json:"op"`
	Site    string `json:"site"` // wp_…
	Account string `json:"account"`
	Domain  string `json:"domain"`
	Path    string `json:"path"`

	// Live is what the site had when the snapshot was taken.
	Live DatabasePart `json:"live"`
	// Schema is the copy; "" as long as it is not made.
	Schema string `json:"schema"`
	// Until is how long both are to be kept; zero: as long as the op needs them.
	Until time.Time `json:"until,omitzero"`
}

// SnapshotStore keeps the records of a node's snapshots, a file for each op.
type SnapshotStore struct{ root *os.Root }

// OpenSnapshots opens the store in dir, which is made when it is not there.
func OpenSnapshots(dir string) (*SnapshotStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making directory of snapshots: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening directory of snapshots: %w", err)
	}
	return &SnapshotStore{root}, nil
}

const (
	snapshotSuffix    = ".json"
	maxSnapshotRecord = 4 << 20
)

var snapshotOp = regexp.MustCompile(`^op_[0-9a-f-]{1,64}$`)

// Put writes a record; it is on the disk when Put returns.
func (s *SnapshotStore) Put(snap Snapshot) error {
	if !snapshotOp.MatchString(snap.Op) {
		return fmt.Errorf("keeping snapshot: %q is no op", snap.Op)
	}
	data, err := json.Marshal(snap)
	if err != nil {
		return fmt.Errorf("encoding snapshot: %w", err)
	}
	if err := replace(s.root, snap.Op+snapshotSuffix, data, 0o600); err != nil {
		return fmt.Errorf("keeping snapshot: %w", err)
	}
	return nil
}

// Get reads the record of an op; errors.Is fs.ErrNotExist when there is none.
func (s *SnapshotStore) Get(op string) (Snapshot, error) {
	if !snapshotOp.MatchString(op) {
		return Snapshot{}, fmt.Errorf("reading snapshot: %q is no op", op)
	}
	data, err := readCapped(s.root, op+snapshotSuffix, maxSnapshotRecord)
	var snap Snapshot
	if err == nil {
		err = json.Unmarshal(data, &snap)
	}
	if err != nil {
		return Snapshot{}, fmt.Errorf("reading snapshot: %w", err)
	}
	return snap, nil
}

// Remove forgets the record of an op; none is no error.
func (s *SnapshotStore) Remove(op string) error {
	err := s.root.Remove(op + snapshotSuffix)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting snapshot: %w", err)
	}
	return nil
}

// All lists the ops that have a record.
func (s *SnapshotStore) All() ([]string, error) {
	names, err := list(s.root, -1)
	if err != nil {
		return nil, fmt.Errorf("listing snapshots: %w", err)
	}
	var ops []string
	for _, name := range names {
		if op, ok := strings.CutSuffix(name, snapshotSuffix); ok && snapshotOp.MatchString(op) {
			ops = append(ops, op)
		}
	}
	return ops, nil
}

// MakeSchema makes the empty database of a snapshot, for login to fill. Done again it begins
// anew. The record is on the disk before there is anything that it tells of.
func (h *Host) MakeSchema(ctx context.Context, snap *Snapshot, login Login) error {
	host, err := h.DB.UserHost(ctx, login.Host)
	if err != nil {
		return err
	}
	if snap.Schema != "" { // what an earlier attempt has left there
		if err := h.DropSchema(ctx, snap.Op, snap.Schema); err != nil {
			return err
		}
	}
	if err := h.Snapshots.Put(*snap); err != nil {
		return err
	}
	if snap.Schema, err = h.FreshSchema(ctx, snap.Op, login.Name, login.User, host); err != nil {
		return err
	}
	return h.Snapshots.Put(*snap)
}

// EndSnapshot removes what a site does not use: the copy, or, when the site was taken back to
// that, the tables of before. What wp-config.php names at that moment is left alone, and is the
// tenant's alone from then on. Done again it does the rest. errors.Is fs.ErrNotExist: there
// is no site any more that could tell.
func (h *Host) EndSnapshot(ctx context.Context, site Site, snap Snapshot) error {
	login, err := h.Login(ctx, site)
	if err != nil {
		return err
	}
	switch {
	case snap.Schema == "": // it died between two lines of MakeSchema, or nothing was made
		host, err := h.DB.UserHost(ctx, login.Host)
		if err != nil {
			return err
		}
		schema, err := h.FreshSchema(ctx, snap.Op, login.Name, login.User, host) // the one that there may be
		if err != nil {
			return err
		}
		if err := h.DropSchema(ctx, snap.Op, schema); err != nil {
			return err
		}
	case login.Name != snap.Schema:
		if err := h.DropSchema(ctx, snap.Op, snap.Schema); err != nil {
			return err
		}
	default:
		if err := h.dropReplaced(ctx, site, snap, login); err != nil {
			return err
		}
	}
	return h.Snapshots.Remove(snap.Op)
}

// dropReplaced removes the tables that the site had before it was taken back to its snapshot,
// with the tenant's own credentials.
func (h *Host) dropReplaced(ctx context.Context, site Site, snap Snapshot, login Login) error {
	if err := h.AdoptSchema(ctx, snap.Op, snap.Schema); err != nil {
		return err
	}
	part := snap.Live
	part.Hosts = nil // the user goes on, with the other database
	old := Found{Site: site, Config: Config{DBName: part.Name, DBUser: login.User, DBPassword: login.Password, DBHost: login.Host}}
	if err := h.DropDatabase(ctx, old, part); err != nil || !part.Whole || part.Kept != "" {
		return err
	}
	return h.DB.revokeAll(ctx, part.Name) // the next database of that name may be another tenant's
}
