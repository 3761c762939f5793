package tasks

import (
	"errors"
	"strings"

	"github.com/wispanel/wptk/wp"
)

// Codes of failures that hardening has of its own.
const (
	CodeConfigUncertain = "config_uncertain"
	CodeFileFixed       = "file_not_replaceable"
	CodeServerRefuses   = "web_server_refuses"
	CodeUnavailable     = "unavailable"
)

// hardeningError names the failures of changes to wp-config.php, .htaccess and the
// web server; everything else stays as it is.
func hardeningError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, wp.ErrUncertain):
		return Permanent(err, Failure{
			Code:    CodeConfigUncertain,
			Message: "The wp-config.php of this site has code that keeps a change from being certain" + reasonIn(err, wp.ErrUncertain) + ".",
			Hint:    "Change the constant by hand, or make its line in wp-config.php a plain define() outside of any condition.",
		})
	case errors.Is(err, wp.ErrNotConfig), errors.Is(err, wp.ErrLint):
		return Permanent(err, Failure{
			Code: CodeConfigUncertain, Message: "The wp-config.php of this site is no file that PHP can read.",
			Hint: "Repair it first; nothing was changed.",
		})
	case errors.Is(err, wp.ErrFixed):
		return Permanent(err, Failure{
			Code:    CodeFileFixed,
			Message: "A file that has to be changed cannot be replaced" + reasonIn(err, wp.ErrFixed) + ".",
			Hint:    "It has to be an ordinary file that belongs to the account.",
		})
	case errors.Is(err, wp.ErrBlock):
		return Permanent(err, Failure{
			Code:    CodeFileFixed,
			Message: "The marks of the toolkit's block in .htaccess are damaged.",
			Hint:    "Remove the lines # BEGIN WPTK and # END WPTK with what is between them, then try again.",
		})
	case errors.Is(err, wp.ErrServerRefuses):
		return Permanent(err, Failure{
			Code: CodeServerRefuses, Message: "The web server of the node does not accept its configuration.",
			Hint: "The earlier rules are back in place. The operator finds what the server said in the worker's log.",
		})
	}
	return lookError(err)
}

// reasonIn is what an error says behind its class, as ": …". These classes speak of
// the form of the tenant's own files only.
func reasonIn(err, class error) string {
	_, reason, ok := strings.Cut(err.Error(), class.Error()+": ")
	if !ok {
		return ""
	}
	return ": " + strings.TrimSpace(reason)
}
