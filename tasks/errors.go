package tasks

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/wispanel/wptk/wp"
)

// The codes of a Failure. Programs switch on them, so they are on the wire for
// ever; what people should do about one is in the failure's hint.
const (
	CodeTargetNotEmpty     = "target_not_empty"
	CodeUnknownDomain      = "unknown_domain"
	CodeWordPressExists    = "wordpress_exists"
	CodeNoSuchUser         = "no_such_user"
	CodeUserExists         = "user_exists"
	CodeNoWordPress        = "no_wordpress"
	CodeConflict           = "conflict"
	CodeBackupFailed       = "backup_failed"
	CodeBackupsUnavailable = "backups_unavailable"
	CodeNoBackup           = "no_such_backup"
	CodeBackupDamaged      = "backup_damaged"
	CodePackageUnavailable = "package_unavailable"
	CodeCacheUnavailable   = "cache_unavailable"
	CodeDowngrade          = "downgrade"
	CodeRequirements       = "requirements"
	CodeVersionUnknown     = "version_unknown"
	CodeDatabaseExists     = "database_exists"
	CodeDatabaseError      = "database_error"
	CodeDiskFull           = "disk_full"
	CodeQuotaExceeded      = "quota_exceeded"
	CodePermission         = "permission_denied"
	CodeTooDeep            = "too_deep"
	CodeWPCLI              = "wp_cli_error"
	CodeVerifyFailed       = "verify_failed"
	CodeUnconfirmed        = "unconfirmed"
	CodeNotInstalled       = "not_installed"
	CodeInUse              = "in_use"
	CodeMustUse            = "must_use"
	CodeLinked             = "linked"
	CodeUnusable           = "unusable"
	CodePackageDamaged     = "package_damaged"
	CodePHPFatal           = "php_fatal"
	CodeSiteDown           = "site_down"         // it did not come up before
	CodeSiteBroken         = "site_broken"       // the change broke it
	CodeUpdateBrokeSite    = "update_broke_site" // and is taken back
	CodeSnapshotImpossible = "snapshot_impossible"
	CodeItemsFailed        = "items_failed"
	CodeInvalidPayload     = "invalid_payload"
	CodeTimeout            = "timeout"
	CodeCancelled          = "cancelled"
	CodePoison             = "poison"
	CodeUntrusted          = "untrusted"
	CodeReplayed           = "replayed"
	CodeInternal           = "internal"
)

var (
	// ErrInterrupted says that an op stopped at a step boundary because the
	// worker is draining. It goes back to the queue and loses no attempt.
	ErrInterrupted = errors.New("interrupted at a step boundary")

	// ErrUnknownKind is the answer of Decode to a kind that this program does not have.
	ErrUnknownKind = errors.New("unknown kind")

	errCancelled = errors.New("cancelled on request")
)

// StepError is an error that a step has understood: Failure is what the
// requester reads, Err what the log gets. An error that is no StepError is
// taken as passing (a lock, a lost connection) and the step is tried again.
type StepError struct {
	Failure Failure
	Err     error

	unconfirmed bool
	final       bool // unconfirmed, and looking again would not help
}

func (e *StepError) Error() string {
	if e.Err == nil {
		return e.Failure.Message
	}
	return fmt.Sprintf("%s: %v", e.Failure.Message, e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }

// Permanent marks an error that trying again would not cure. What the op made
// so far is undone.
func Permanent(err error, f Failure) error {
	return &StepError{Failure: f, Err: err}
}

// Unconfirmed says that a step did its work but cannot see its effect just
// now. It is tried again; when it stays so, the op goes on, and ends as
// Unverified, not Succeeded.
func Unconfirmed(err error, f Failure) error {
	return &StepError{Failure: f, Err: err, unconfirmed: true}
}

// Unconfirmable is Unconfirmed where looking again would not help.
func Unconfirmable(err error, f Failure) error {
	return &StepError{Failure: f, Err: err, unconfirmed: true, final: true}
}

// LaterError asks for the op to be delivered again After a while.
type LaterError struct{ After time.Duration }

func (e *LaterError) Error() string { return fmt.Sprintf("busy, again in %v", e.After) }

// Later is the error that asks for redelivery after d: the site or the node is
// busy, nothing is wrong with the op.
func Later(d time.Duration) error { return &LaterError{After: d} }

func isUnconfirmed(err error) bool {
	var step *StepError
	return errors.As(err, &step) && step.unconfirmed
}

func isLater(err error) bool {
	var later *LaterError
	return errors.As(err, &later)
}

// lasting reports whether trying again within seconds is pointless.
func lasting(err error) bool {
	var step *StepError
	if errors.As(err, &step) {
		return !step.unconfirmed || step.final
	}
	return isLasting(err) || isRefusal(err) || isUnavailable(err)
}

var isLasting = isAny(errCancelled, syscall.ENOSPC, syscall.EDQUOT, syscall.ENAMETOOLONG, fs.ErrPermission,
	wp.ErrDatabaseFull, wp.ErrUncheckedSite, wp.ErrNoBackup, wp.ErrNoBackupStore, wp.ErrBackupKey, wp.ErrBackupDamaged)

// isUnavailable reports a package that the source does not have. When the source
// could not be asked, it may have it all the same.
func isUnavailable(err error) bool {
	var missing *wp.UnavailableError
	return errors.As(err, &missing) && missing.Cause == nil
}

// isRefusal reports a WP-CLI command that ran to its end and said no. One that
// was killed, or did not reach its database, may work the next time.
func isRefusal(err error) bool {
	var exit *wp.ExitError
	return errors.As(err, &exit) && exit.Code > 0 && !errors.Is(err, wp.ErrDatabaseConnection)
}
