package tasks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/wispanel/wptk/wp"
)

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
		return unavailable(missing)
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

// unavailable leaves the cause out: it may hold addresses of the operator's mirror.
func unavailable(e *wp.UnavailableError) Failure {
	what := strings.TrimSpace(e.Package + " " + e.Version)
	f := Failure{
		Code:    CodePackageUnavailable,
		Message: fmt.Sprintf("%s is not in the node's package source.", what),
		Hint:    "Have the operator add it to the package source.",
	}
	if len(e.Available) > 0 {
		f.Hint = "Ask for one of these: " + strings.Join(e.Available, ", ") + "."
	}
	if e.Cause != nil && len(e.Available) == 0 {
		f.Message = fmt.Sprintf("%s could not be fetched from the node's package source.", what)
		f.Hint = "Try again in a few minutes; the operator finds the details in the worker's log."
	}
	return f
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
	{isErr(wp.ErrNoBackupStore), Failure{Code: CodeBackupsUnavailable, Message: "The node keeps no backups.",
		Hint: "Have the operator configure a backup store for it (--backups)."}},
	{isErr(wp.ErrNoBackup), noSuchBackup},
	{isErr(wp.ErrBackupDamaged), Failure{Code: CodeBackupDamaged, Message: "The backup is damaged.",
		Hint: "Use another one; the operator should check the backup store."}},
	{isErr(wp.ErrBackupKey), Failure{Code: CodeBackupsUnavailable, Message: "The node cannot open the backups of this account.",
		Hint: "They were made with another key than the node has (--backup-key-file); the operator has to put that back."}},
	{isAny(wp.ErrBackupBusy, wp.ErrBackupStore), Failure{Code: CodeBackupsUnavailable, Message: "The backup store did not answer as it should.",
		Hint: "Try again in a few minutes; the operator finds the details in the worker's log."}},
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
	{isErr(wp.ErrUnavailable), Failure{Code: CodeDatabaseError, Message: "The database server did not answer.",
		Hint: "Try again in a few minutes; the operator finds the details in the worker's log."}},
	// The server may be well and the site's own login wrong: nothing that comes back tells.
	{isErr(wp.ErrDatabaseConnection), Failure{Code: CodeDatabaseError, Message: "WordPress cannot connect to its database.",
		Hint: "Compare name, user, password and host in wp-config.php with the database. If they are right, try again in a few minutes."}},
	{isErr(syscall.ENAMETOOLONG), Failure{Code: CodeTooDeep, Message: "The site has directories that are nested deeper than 500 levels, or a path that is longer than 4,096 bytes.",
		Hint: "The place is in the worker's log. Nested copies of a directory in itself are the usual reason: move or remove them, then try again."}},
	{isErr(fs.ErrPermission), Failure{Code: CodePermission, Message: "The account may not write to its own directory.",
		Hint: "Look at owner and mode of the domain's directory and of the directories below it."}},
	{isErr(wp.ErrStrangeConfig), Failure{Code: CodeWPCLI, Message: "The account cannot read wp-config.php, or the file does not load wp-settings.php itself.",
		Hint: "Look at owner and mode of wp-config.php, then at its last lines."}},
	{isExit, Failure{Code: CodeWPCLI, Message: "A WP-CLI command failed.",
		Hint: "What it said is in the operation's log."}},
	{isAny(wp.ErrOutput, wp.ErrOutputTooLong, wp.ErrNotApplied), Failure{Code: CodeWPCLI, Message: "A WP-CLI command did not do what it should have done.",
		Hint: "A plugin or theme that interferes is the usual reason; what was said is in the operation's log."}},
}
