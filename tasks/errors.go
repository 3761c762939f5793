package tasks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
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
	CodePackageUnavailable = "package_unavailable"
	CodeDatabaseExists     = "database_exists"
	CodeDatabaseError      = "database_error"
	CodeDiskFull           = "disk_full"
	CodeQuotaExceeded      = "quota_exceeded"
	CodePermission         = "permission_denied"
	CodeWPCLI              = "wp_cli_error"
	CodeVerifyFailed       = "verify_failed"
	CodeUnconfirmed        = "unconfirmed"
	CodeInvalidPayload     = "invalid_payload"
	CodeTimeout            = "timeout"
	CodeCancelled          = "cancelled"
	CodePoison             = "poison"
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

// FailureOf turns any error into what may leave the node: a stable code and
// words for people. The text of an error that nobody classified stays in the
// log, since it may hold paths and other internals.
func FailureOf(err error) Failure {
	var step *StepError
	if errors.As(err, &step) {
		return step.Failure
	}
	var missing *wp.UnavailableError
	if errors.As(err, &missing) {
		return Failure{
			Code:    CodePackageUnavailable,
			Message: strings.ToUpper(missing.Error()[:1]) + missing.Error()[1:] + ".",
			Hint:    "Ask for one that is available, or have the operator add it to the package source.",
		}
	}
	for _, c := range causes {
		if c.is(err) {
			return c.failure
		}
	}
	return internalFailure
}

var internalFailure = Failure{
	Code:    CodeInternal,
	Message: "The operation failed for a reason that the node could not name.",
	Hint:    "The operator finds the details in the worker's log under this operation's id.",
}

// lasting reports whether trying again within seconds is pointless.
func lasting(err error) bool {
	var step *StepError
	if errors.As(err, &step) {
		return !step.unconfirmed
	}
	return isLasting(err) || isRefusal(err)
}

var isLasting = isAny(errCancelled, syscall.ENOSPC, syscall.EDQUOT, fs.ErrPermission,
	wp.ErrDatabaseFull, wp.ErrPackageUnavailable, wp.ErrUncheckedSite)

// isRefusal reports a WP-CLI command that ran to its end and said no. One that
// was killed, or did not reach its database, may work the next time.
func isRefusal(err error) bool {
	var exit *wp.ExitError
	return errors.As(err, &exit) && exit.Code > 0 && !errors.Is(err, wp.ErrDatabaseConnection)
}

// cause is a class of errors that has a name for the requester.
type cause struct {
	is      func(error) bool
	failure Failure
}

func isErr(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func isAny(targets ...error) func(error) bool {
	return func(err error) bool {
		return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
	}
}

func isExit(err error) bool {
	var exit *wp.ExitError
	return errors.As(err, &exit)
}

// causes is asked in order; the first match names the failure.
var causes = []cause{
	{isErr(errCancelled), Failure{Code: CodeCancelled, Message: "The operation was cancelled.",
		Hint: "What it had made is taken back. It can be started again at any time."}},
	{isErr(syscall.ENOSPC), Failure{Code: CodeDiskFull, Message: "The disk of the node is full.",
		Hint: "Free some space on the node, then try again."}},
	{isErr(wp.ErrDatabaseFull), Failure{Code: CodeDiskFull, Message: "The disk of the database server is full.",
		Hint: "Free some space on the database server, then try again."}},
	{isErr(syscall.EDQUOT), Failure{Code: CodeQuotaExceeded, Message: "The account's disk quota is used up.",
		Hint: "Delete files of the account or raise its quota, then try again."}},
	{isErr(context.DeadlineExceeded), Failure{Code: CodeTimeout, Message: "The operation took longer than it may.",
		Hint: "Try again; when it happens again, look at the load of the node."}},
	{isAny(wp.ErrUnavailable, wp.ErrDatabaseConnection), Failure{Code: CodeDatabaseError, Message: "The database server did not answer.",
		Hint: "Try again in a few minutes; the operator finds the details in the worker's log."}},
	{isErr(fs.ErrPermission), Failure{Code: CodePermission, Message: "The account may not write to its own directory.",
		Hint: "Look at owner and mode of the domain's directory and of the directories below it."}},
	{isExit, Failure{Code: CodeWPCLI, Message: "A WP-CLI command failed.",
		Hint: "What it said is in the operation's log."}},
	{isAny(wp.ErrOutput, wp.ErrOutputTooLong, wp.ErrNotApplied), Failure{Code: CodeWPCLI, Message: "A WP-CLI command did not do what it should have done.",
		Hint: "A plugin or theme that interferes is the usual reason; what was said is in the operation's log."}},
}
