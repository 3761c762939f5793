package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/wispanel/wptk/wp"
)

var backupSpec = Spec{
	Kind:     "backup",
	Class:    Bulk,
	Deadline: 6 * time.Hour,
	New:      func() Task { return new(BackupCreate) },
}

// BackupCreate stores files and database of an install, encrypted, beside those of before:
// only what is new takes room.
type BackupCreate struct {
	Type     string `json:"type,omitempty" enum:"full,files,database" doc:"full when left out."`
	Label    string `json:"label,omitempty" maxLength:"100" doc:"For people." example:"before the relaunch"`
	KeepDays int    `json:"keep_days,omitempty" minimum:"0" maximum:"3650" doc:"How long it stays; the node's own rule when both are left out."`
	KeepLast int    `json:"keep_last,omitempty" minimum:"0" maximum:"1000" doc:"It stays anyway while it is among so many newest of the install."`
	// ForClone: it goes to another node and tells there what a copy has to know. Only the
	// clone itself asks for it.
	ForClone bool `json:"for_clone,omitempty" hidden:"true"`
}

// Kind is "backup".
func (*BackupCreate) Kind() string { return backupSpec.Kind }

// Validate reports what is wrong.
func (p *BackupCreate) Validate() []Problem {
	var problems []Problem
	switch p.Type {
	case "", BackupFull, BackupFiles, BackupDatabase:
	default:
		problems = append(problems, Problem{"type", "must be full, files or database"})
	}
	if reason := badLabel(p.Label); reason != "" {
		problems = append(problems, Problem{"label", reason})
	}
	if p.KeepDays < 0 || p.KeepDays > 3650 {
		problems = append(problems, Problem{"keep_days", "must be 0 to 3650"})
	}
	if p.KeepLast < 0 || p.KeepLast > 1000 {
		problems = append(problems, Problem{"keep_last", "must be 0 to 1000"})
	}
	return problems
}

func badLabel(label string) string {
	switch {
	case len([]rune(label)) > 100:
		return "must be at most 100 characters"
	case strings.ContainsFunc(label, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }):
		return "must be one line of text"
	}
	return ""
}

// Steps lists the backup. Nothing of it is visible before it is whole.
func (p *BackupCreate) Steps(r *Run) []Step {
	b := &backuper{Run: r, ask: p}
	return []Step{
		{Name: "plan", Message: "Looking at what there is to store", Weight: 2, Do: b.plan},
		{Name: "store", Message: "Storing the backup", Weight: 30, Do: b.storeAll, Undo: b.unsave},
		{Name: "list", Message: "Putting it on the list", Do: b.listAll, Undo: b.unlist},
	}
}

type backuper struct {
	*Run
	ask *BackupCreate
}

// backupPlan is what there is to store, about.
type backupPlan struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
}

const keyBackupPlan = "backup_plan"

func (b *backuper) kind() string {
	if b.ask.Type == "" {
		return BackupFull
	}
	return b.ask.Type
}

func (b *backuper) plan(ctx context.Context) error {
	if b.Host.Backups == nil {
		return wp.ErrNoBackupStore
	}
	site, err := b.installed(ctx)
	if err != nil {
		return err
	}
	found, err := b.Host.Files.Look(ctx, site)
	if err != nil {
		return lookError(err)
	}
	if found.Shut {
		return Permanent(nil, shutFailure)
	}
	var p backupPlan
	if b.kind() != BackupDatabase {
		belongings, err := b.Host.Files.Belongings(ctx, site)
		if err != nil {
			return fmt.Errorf("counting files: %w", err)
		}
		p.Files, p.Bytes = belongings.Files, belongings.Bytes
	}
	if b.kind() != BackupFiles {
		size, err := b.Host.DatabaseSize(ctx, found)
		if err != nil {
			return saveError(fmt.Errorf("looking at database: %w", err))
		}
		p.Bytes += size
	}
	if err := b.room(ctx, p.Bytes); err != nil {
		return err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encoding plan: %w", err)
	}
	if b.ask.ForClone {
		if err := b.tellOriginal(ctx, site); err != nil {
			return err
		}
	}
	return b.Set(keyBackupPlan, string(text))
}

// repeatShare of a site is asked for as room when there is a backup of it already: what has
// not changed takes none.
const repeatShare = 5

// room refuses a backup that would not fit into a store on this node's disks. Of a remote
// store nobody knows the room; it says when it is full.
func (b *backuper) room(ctx context.Context, need int64) error {
	free, known, err := b.Host.BackupRoom()
	if err != nil || !known {
		return err
	}
	earlier, err := b.Catalog.SiteBackups(ctx, b.Op.Site.ID)
	if err != nil {
		return fmt.Errorf("looking for earlier backups: %w", err)
	}
	for _, e := range earlier {
		if e.Type == BackupFull || e.Type == b.kind() {
			need /= repeatShare
			break
		}
	}
	if need > free {
		f := noRoom
		f.Message = fmt.Sprintf("The backup may need %s, and the store has %s left.", megabytes(need), megabytes(max(free, 0)))
		return Permanent(nil, f)
	}
	return nil
}

func (b *backuper) storeAll(ctx context.Context) error {
	site, err := b.existing()
	if err != nil {
		return err
	}
	var p backupPlan
	if err := json.Unmarshal([]byte(b.Get(keyBackupPlan)), &p); err != nil {
		return fmt.Errorf("reading plan: %w", err)
	}
	if addressed, err := b.Host.Addressed(ctx, site); err == nil { // else as the node would call it
		site = addressed
	}
	s := saving{Type: b.kind(), Reason: BackupManual, Label: b.ask.Label, Database: true, Expect: p.Bytes,
		KeepLast: b.ask.KeepLast}
	if strings.HasPrefix(b.Op.RequestID, schedulePrefix) {
		s.Reason = BackupSchedule
	}
	if b.ask.ForClone {
		s.Reason, s.Original = BackupClone, b.Get(keyOriginal)
	}
	days := b.ask.KeepDays
	if days == 0 && s.KeepLast == 0 {
		days, s.KeepLast = b.Host.BackupKeep.Days, b.Host.BackupKeep.Last
	}
	if days > 0 {
		s.KeepUntil = time.Now().UTC().Truncate(time.Second).AddDate(0, 0, days)
	}
	_, err = b.save(ctx, site, s)
	return err
}

// schedulePrefix begins the ids of schedules, which are the request id of their ops.
const schedulePrefix = "sc_"

func (b *backuper) listAll(ctx context.Context) error {
	var record Backup
	if err := json.Unmarshal([]byte(b.Get(keyBackup)), &record); err != nil {
		return fmt.Errorf("reading backup: %w", err)
	}
	if err := b.list(ctx, record); err != nil {
		return err
	}
	record.Original = nil // for the clone alone
	return b.SetResult(record)
}
