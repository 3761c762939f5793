package tasks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/rewrite"
)

// Ops gives work to other nodes.
type Ops interface {
	// Ensure accepts an op, unless it was accepted before, and answers it as it is now.
	Ensure(ctx context.Context, op Op) (Op, error)
	// Cancel asks for an op's end; of one that is over it is no error.
	Cancel(ctx context.Context, id string) (Op, error)
}

// A clone from another node gets its original as a parcel: a backup that it asks the other
// node for and reads out of the store that both nodes reach. The op of the parcel follows from
// the clone's own id. So there is nothing that could be accepted by half: whoever dies, the
// clone asks for the same parcel again.

const (
	keyAsked    = "parcel_asked" // when it was first asked for
	keyOriginal = "original"     // in the parcel's op: the clonePlan

	parcelDays = 1
	// parcelBegins bounds the waiting for the other node to begin, parcelEnds all of it: the
	// op there has a deadline of its own, but a node may die and not come back.
	parcelBegins = time.Hour
	parcelEnds   = 8 * time.Hour

	parcelFirst, parcelMost = time.Second, 15 * time.Second // between two looks
)

// away: the original is on another node.
func (c *cloner) away() bool { return c.ask.Source.Node != c.Op.Site.Node }

// sourceAway is where the original is over there. Nothing of this node can be done to it.
func (c *cloner) sourceAway() (wp.Site, error) {
	p, err := c.planned()
	if err != nil {
		return wp.Site{}, err
	}
	ref := c.ask.Source
	site := wp.Site{ID: ref.ID, Account: ref.Account, Domain: ref.Domain, Path: ref.Path, Docroot: p.Docroot}
	return site.WithURL(p.URL)
}

func (c *cloner) planAway(ctx context.Context) error {
	if found := c.ask.Validate(); len(found) > 0 {
		return invalidPayload(found...)
	}
	if ref := c.ask.Source; SiteID(ref.Node, ref.Account, ref.Domain, ref.Path) != ref.ID {
		return invalidPayload(Problem{"source_id", "is not the id of that install"})
	}
	if c.Host.Backups == nil || c.Catalog == nil || c.Ops == nil {
		return wp.ErrNoBackupStore
	}
	if _, err := c.existingAt(ctx); err != nil {
		return err
	}
	_, err := c.Recall(keyAsked, func() (string, error) { return time.Now().UTC().Format(time.RFC3339), nil })
	return err
}

// Parcel is the op that a clone needs done on the node of its original. It follows from the
// clone alone, so that an API need not take a node's word for it.
func Parcel(clone Op) (Op, error) {
	var ask Clone
	if clone.Kind != cloneSpec.Kind {
		return Op{}, fmt.Errorf("finding the parcel of a clone: the op is a %q", clone.Kind)
	}
	if err := json.Unmarshal(clone.Payload, &ask); err != nil {
		return Op{}, fmt.Errorf("decoding clone: %w", err)
	}
	if ask.Source.Node == clone.Site.Node {
		return Op{}, errors.New("finding the parcel of a clone: its original is on the same node")
	}
	payload, err := json.Marshal(BackupCreate{ForClone: true, KeepDays: parcelDays, Label: shorten("for " + clone.Site.Domain)})
	if err != nil {
		return Op{}, fmt.Errorf("encoding backup: %w", err)
	}
	return Op{
		ID: ChildOpID(clone.ID, ask.Source), Kind: backupSpec.Kind, Class: backupSpec.Class, Site: ask.Source,
		Payload: payload, KeyID: clone.KeyID, RequestID: clone.RequestID,
	}, nil
}

// awaitParcel holds nothing while it waits: the op is delivered again.
func (c *cloner) awaitParcel(ctx context.Context) error {
	want, err := Parcel(c.Op)
	if err != nil {
		return err
	}
	op, err := c.Ops.Ensure(ctx, want)
	if err != nil {
		return fmt.Errorf("asking for a backup of the original: %w", err)
	}
	switch {
	case op.State == Succeeded || op.State == Unverified:
		return c.openParcel(ctx)
	case op.State.Final():
		return parcelFailed(op)
	}
	asked, err := time.Parse(time.RFC3339, c.Get(keyAsked))
	if err != nil {
		return fmt.Errorf("reading when the backup was asked for: %w", err)
	}
	waited := time.Since(asked)
	if waited > parcelEnds || waited > parcelBegins && op.State == Queued {
		return refuse(CodeBackupFailed, "The node of the original has not made a backup of it in time.",
			"See whether the node "+c.ask.Source.Node+" is up, and what else it has to do, then try again.")
	}
	return Later(min(max(waited/8, parcelFirst), parcelMost))
}

func parcelFailed(op Op) error {
	f := Failure{Code: CodeBackupFailed, Message: "The backup of the original is " + string(op.State) + ".", Hint: "Try again; the operation " + op.ID + " tells why."}
	if op.Error != nil {
		f = Failure{Code: op.Error.Code, Message: "The original could not be backed up. " + op.Error.Message, Hint: op.Error.Hint}
	}
	return Permanent(fmt.Errorf("op %s is %s", op.ID, op.State), f)
}

// openParcel reads what the other node has told about the original.
func (c *cloner) openParcel(ctx context.Context) error {
	site, err := c.existingAt(ctx)
	if err != nil {
		return err
	}
	record, err := c.Catalog.Backup(ctx, c.parcelID())
	if errors.Is(err, wp.ErrNoBackup) {
		return Permanent(err, noSuchBackup)
	}
	if err != nil {
		return fmt.Errorf("looking up backup: %w", err)
	}
	var p clonePlan
	if err := json.Unmarshal(record.Original, &p); err != nil {
		return fmt.Errorf("reading what the backup tells: %w", err)
	}
	if err := c.roomFor(ctx, site, p); err != nil {
		return err
	}
	return c.Set(keyClonePlan, string(record.Original))
}

func (c *cloner) parcelID() string { return BackupID(ChildOpID(c.Op.ID, c.ask.Source)) }

// unpack reads the parcel once, tables first. A second attempt begins anew.
func (c *cloner) unpack(ctx context.Context) error {
	from, to, p, err := c.both()
	if err != nil {
		return err
	}
	staged, err := c.staged()
	if err != nil {
		return err
	}
	_, err = c.Recall(keyPrefix, func() (string, error) { return wp.NewTablePrefix(), nil })
	if err != nil {
		return err
	}
	if err := c.Host.Files.MakeStage(ctx, staged, c.stage()); err != nil {
		return err
	}
	u := parcelReader{cloner: c, from: from, to: to, staged: staged, plan: p, what: wp.TreeCopy{Skip: c.leftBehind(p), Only: c.ask.Select.Paths},
		login: wp.Login{Name: c.Get(keyDBName), User: c.Get(keyDBName), Password: wp.NewPassword(32), Host: c.Host.DBHost}}
	if err := c.Host.DB.SetPassword(ctx, u.login.User, c.Get(keyDBHost), u.login.Password); err != nil {
		return err
	}
	if err := c.Host.DB.Empty(ctx, u.login.Name); err != nil {
		return err
	}
	if err := u.read(ctx); err != nil {
		return err
	}
	site, err := c.site()
	if err != nil {
		return err
	}
	if err := c.Host.Files.Relink(ctx, site, c.stage(), from); err != nil {
		return err
	}
	if len(u.config) == 0 {
		return Permanent(nil, noWordPress)
	}
	config, err := c.adaptConfig(u.config, from, to, p, u.login.Password)
	if err != nil {
		return hardeningError(err)
	}
	if err := c.putConfig(ctx, from, to, p, config); err != nil {
		return err
	}
	return errors.Join(c.keepCopied(u.files), c.keepStats(u.stats))
}

// parcelReader is unpack at work.
type parcelReader struct {
	*cloner
	from, to, staged wp.Site
	plan             clonePlan
	what             wp.TreeCopy
	login            wp.Login // of the copy
	config           []byte   // the original's; it has a password and is written nowhere
	passed           int64
	files            wp.TreeCopied
	stats            rewrite.Stats
}

func (u *parcelReader) read(ctx context.Context) error {
	b, err := u.Host.OpenBackup(ctx, u.ask.Source.Account, u.parcelID())
	if errors.Is(err, wp.ErrNoBackup) {
		return Permanent(err, Failure{Code: CodeBackupsUnavailable, Message: "The two nodes have different backup stores, so that nothing can go from one to the other.",
			Hint: "The operator gives both the same store and key (--backups, --backup-key-file)."})
	}
	if err != nil {
		return fmt.Errorf("opening backup: %w", err)
	}
	defer b.Close() //nolint:errcheck // a reader; what matters is checked at the end of the stream
	saved := b.Manifest()
	if saved.ID != u.parcelID() || saved.Site != u.ask.Source.ID {
		return fmt.Errorf("opening backup: it says that it is %q of %q: %w", saved.ID, saved.Site, wp.ErrBackupDamaged)
	}
	keep := func(data []byte) error { u.config = bytes.Clone(data); return nil }
	_, err = b.Unpack(ctx, wp.BackupTarget{
		Database: func(r io.Reader) error { return u.importTables(ctx, saved.Database, u.watched(r)) },
		Files: func(r io.Reader) (err error) {
			u.files.Files, u.files.Bytes, err = u.Host.ExtractFiles(ctx, u.staged, u.watched(r), u.what.Takes)
			return err
		},
		Config: keep, Above: keep,
	})
	if err != nil {
		return transferFailure(err)
	}
	return nil
}

func (u *parcelReader) importTables(ctx context.Context, source string, r io.Reader) (err error) {
	f := u.filter(u.from, u.to, u.plan, source, u.login.Name)
	if chosen := u.plan.tables(u.ask.Select.Tables); chosen != nil {
		f.Skip = func(table string) bool { return !slices.Contains(chosen, table) }
	}
	u.stats, err = u.Host.ImportFiltered(ctx, u.staged, u.login, f, func(_ context.Context, w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
	return err
}

// watched moves the progress bar.
func (u *parcelReader) watched(r io.Reader) io.Reader {
	total := max(u.plan.Bytes+u.plan.TableBytes, 1)
	return readerFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		u.passed += int64(n)
		u.Report(min(float64(u.passed)/float64(total), 1), "")
		return n, err
	})
}

func (c *cloner) checkUnpacked(ctx context.Context) error {
	return errors.Join(c.readConfig(ctx), c.checkTables(ctx))
}

// callParcelOff is the undo of asking for it.
func (c *cloner) callParcelOff(ctx context.Context) error {
	if _, err := c.Ops.Cancel(ctx, ChildOpID(c.Op.ID, c.ask.Source)); err != nil {
		c.logf("The backup of the original could not be called off; it goes by itself after a day.")
	}
	c.dropParcel(ctx)
	return nil
}

// dropParcel removes it. What cannot be removed now, goes when its day is over.
func (c *cloner) dropParcel(ctx context.Context) {
	id := c.parcelID()
	err := c.Host.Backups.Forget(ctx, c.ask.Source.Account, id)
	if err == nil {
		err = c.Catalog.RemoveBackup(ctx, Backup{ID: id, Site: c.ask.Source})
	}
	if err != nil {
		c.logf("The backup %s, in which the original came, is not removed yet; it goes by itself after a day.", id)
	}
}

// tellOriginal notes in a parcel's op what the copy has to know.
func (b *backuper) tellOriginal(ctx context.Context, site wp.Site) error {
	p, err := b.original(ctx, site)
	if err != nil {
		return err
	}
	p.Docroot = site.Docroot
	if p.Broken, err = b.brokenIn(ctx, site); err != nil {
		return err
	}
	if p.Debug, err = b.debugging(b.Op.Site.ID); err != nil {
		return err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encoding what the original is: %w", err)
	}
	return b.Set(keyOriginal, string(text))
}
