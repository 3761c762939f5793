package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/wispanel/wptk/wp"
)

var backupVerifySpec = Spec{
	Kind:     "backup.verify",
	Class:    Bulk,
	Deadline: 6 * time.Hour,
	New:      func() Task { return new(BackupVerify) },
}

// BackupVerify restores a backup where nobody sees it, compares what comes out with what went
// in, and removes it again.
type BackupVerify struct {
	BackupID string `json:"backup_id" maxLength:"64" example:"bk_0191f3c2-7a5b-7cc1-9d7e-3f52a10b8c4e"`
}

// Kind is "backup.verify".
func (*BackupVerify) Kind() string { return backupVerifySpec.Kind }

// Validate reports what is wrong.
func (p *BackupVerify) Validate() []Problem { return badBackupID(p.BackupID) }

func badBackupID(id string) []Problem {
	if IsBackupID(id) {
		return nil
	}
	return []Problem{{"backup_id", "must be the id of a backup: bk_…"}}
}

// Steps lists the test.
func (p *BackupVerify) Steps(r *Run) []Step {
	v := &backupVerifier{Run: r, id: p.BackupID}
	return []Step{
		{Name: "restore", Message: "Restoring the backup into a scratch place", Weight: 30, Do: v.restore, Undo: v.remove},
		{Name: "clean", Message: "Removing the scratch place", Do: v.remove},
		{Name: "list", Message: "Noting the result", Do: v.note},
	}
}

// VerifyResult is what a test-restore has seen.
type VerifyResult struct {
	Backup   string           `json:"backup_id"`
	Verified string           `json:"verified"` // ok
	Files    int64            `json:"files"`
	Bytes    int64            `json:"bytes"`
	Tables   map[string]int64 `json:"tables"` // rows, as counted in the restored tables
	// Checked says what was compared.
	Checked []string `json:"checked"`
}

type backupVerifier struct {
	*Run
	id string
}

// Verdicts of a test-restore.
const (
	VerifiedOK     = "ok"
	VerifiedFailed = "failed"
)

const (
	keyScratching = "scratching" // there may be a scratch database
	keyScratch    = "scratch"    // its name
	keyMeasured   = "measured"   // what the list may lack, a Backup
)

// ownBackup is the record of a backup of the op's account.
func (r *Run) ownBackup(ctx context.Context, id string) (Backup, error) {
	if r.Catalog == nil || r.Host.Backups == nil {
		return Backup{}, wp.ErrNoBackupStore
	}
	b, err := r.Catalog.Backup(ctx, id)
	if err == nil && b.Site.Account != r.Op.Site.Account {
		err = wp.ErrNoBackup
	}
	if err != nil {
		return Backup{}, fmt.Errorf("looking up backup: %w", err)
	}
	return b, nil
}

func (v *backupVerifier) restore(ctx context.Context) error {
	record, err := v.ownBackup(ctx, v.id)
	if err != nil {
		return err
	}
	site, err := v.existing()
	if err != nil {
		return err
	}
	if err := v.remove(ctx); err != nil { // of an attempt that was cut short
		return err
	}
	err = v.compare(ctx, site, record)
	if errors.Is(err, wp.ErrBackupDamaged) || errors.Is(err, wp.ErrNoBackup) || errors.Is(err, errDiffers) {
		record.Verified, record.VerifiedAt = VerifiedFailed, time.Now().UTC().Truncate(time.Second)
		if err := v.list(ctx, record); err != nil {
			return err
		}
		return Permanent(err, Failure{Code: CodeBackupDamaged, Message: "The backup does not restore to what was stored.",
			Hint: "Take a new one now. What differs is in the worker's log; the operator should check the backup store."})
	}
	return err
}

// errDiffers: what came out is not what went in.
var errDiffers = errors.New("restored copy differs")

// compare restores both parts and holds them against the summary.
func (v *backupVerifier) compare(ctx context.Context, site wp.Site, record Backup) error {
	staged, err := site.Staged(wp.StageName(v.Op.ID))
	if err != nil {
		return err
	}
	b, err := v.Host.OpenBackup(ctx, record.Site.Account, v.id)
	if err != nil {
		return err
	}
	defer b.Close() //nolint:errcheck // Unpack has told of what matters
	var login wp.Login
	to := wp.BackupTarget{}
	if record.Type != BackupDatabase {
		to.Files = func(r io.Reader) error {
			_, _, err := v.Host.ExtractFiles(ctx, staged, v.watched(r, record.Bytes), nil)
			return err
		}
	}
	if record.Type != BackupFiles {
		if login, err = v.scratch(ctx, site); err != nil {
			return err
		}
		to.Database = func(r io.Reader) error { return v.Host.Import(ctx, site, login, v.watched(r, record.Bytes)) }
	}
	sum, err := b.Unpack(ctx, to)
	if err != nil {
		return err
	}
	result := VerifyResult{Backup: v.id, Verified: VerifiedOK, Files: sum.Files, Bytes: sum.Bytes(), Checked: []string{"stream"}}
	if sum.FilesSum != "" {
		if got, err := v.Host.FilesSum(ctx, staged); err != nil || got != sum.FilesSum {
			return errors.Join(err, fmt.Errorf("%w: checksum of files", errDiffers))
		}
		result.Checked = append(result.Checked, "files")
	}
	if sum.DatabaseSum != "" {
		if result.Tables, err = v.Host.TableCounts(ctx, site, login); err != nil {
			return err
		}
		if err := sameRows(sum.Tables, result.Tables); err != nil {
			return err
		}
		result.Checked = append(result.Checked, "rows")
	}
	if err := v.measured(b.Size(), sum); err != nil {
		return err
	}
	return v.SetResult(result)
}

// measured remembers what a list that was written anew from the store does not know. What the
// store grew by back then nobody knows any more.
func (v *backupVerifier) measured(size int64, sum wp.BackupSummary) error {
	text, err := json.Marshal(Backup{Bytes: size, Files: sum.Files, Tables: sum.Tables, WordPress: sum.WordPress, TablePrefix: sum.TablePrefix})
	if err != nil {
		return fmt.Errorf("encoding sizes: %w", err)
	}
	return v.Set(keyMeasured, string(text))
}

// sameRows wants every table that was stored, with as many rows. A table that is no part of
// the summary has its rows elsewhere (see rewrite.TableStats).
func sameRows(stored, restored map[string]int64) error {
	for table, rows := range stored {
		if got, ok := restored[table]; !ok || got != rows {
			return fmt.Errorf("%w: table %q has %d rows, %d were stored", errDiffers, table, got, rows)
		}
	}
	return nil
}

// scratch makes a database that nobody but this op has.
func (v *backupVerifier) scratch(ctx context.Context, site wp.Site) (wp.Login, error) {
	login, err := v.Host.Login(ctx, site)
	if err != nil {
		return wp.Login{}, err
	}
	host, err := v.Host.DB.UserHost(ctx, login.Host)
	if err != nil {
		return wp.Login{}, err
	}
	if err := v.Set(keyScratching, "begun"); err != nil {
		return wp.Login{}, err
	}
	name, err := v.Host.FreshSchema(ctx, v.Op.ID, login.Name, login.User, host)
	if err != nil {
		return wp.Login{}, err
	}
	return login.In(name), v.Set(keyScratch, name)
}

// watched moves the bar along a stream that is about total bytes long.
func (v *backupVerifier) watched(r io.Reader, total int64) io.Reader {
	return &watchedReader{Reader: r, tell: func(n int64) {
		v.Report(fraction(n, total), fmt.Sprintf("Restoring into a scratch place: %s of %s", megabytes(n), megabytes(total)))
	}}
}

type watchedReader struct {
	io.Reader
	n, told int64
	tell    func(int64)
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	w.n += int64(n)
	if w.n-w.told > 4<<20 {
		w.told = w.n
		w.tell(w.n)
	}
	return n, err
}

// remove removes the scratch place.
func (v *backupVerifier) remove(ctx context.Context) error {
	if errors.Is(v.Missing, wp.ErrNoDomain) {
		return nil // gone with the domain; a database was not made without one
	}
	site, err := v.existing()
	if err != nil {
		return err
	}
	if err := v.Host.Files.Remove(ctx, site, wp.StageName(v.Op.ID)); err != nil {
		return err
	}
	if v.Get(keyScratching) == "" {
		return nil
	}
	name := v.Get(keyScratch)
	if name == "" { // made, perhaps, and not remembered: the op's second call gets the same
		login, err := v.scratch(ctx, site)
		if err != nil {
			return err
		}
		name = login.Name
	}
	return v.Host.DropSchema(ctx, v.Op.ID, name)
}

func (v *backupVerifier) note(ctx context.Context) error {
	record, err := v.ownBackup(ctx, v.id)
	if errors.Is(err, wp.ErrNoBackup) {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	record.Verified, record.VerifiedAt = VerifiedOK, time.Now().UTC().Truncate(time.Second)
	if record.Incomplete {
		var m Backup
		if err := json.Unmarshal([]byte(v.Get(keyMeasured)), &m); err != nil {
			return fmt.Errorf("reading sizes: %w", err)
		}
		record.Bytes, record.Files, record.Tables, record.WordPress, record.TablePrefix = m.Bytes, m.Files, m.Tables, m.WordPress, m.TablePrefix
		record.Incomplete = false
	}
	return v.list(ctx, record)
}
