package wp

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/wispanel/wptk/wp/proc"
)

// ErrRefusedLogin says that the server does not let the tenant in with what its
// wp-config.php says, or not into this database.
var ErrRefusedLogin = errors.New("the database refuses the site's login")

// SQLError is the server's answer to a statement of a dump. It never has values in it.
type SQLError struct {
	Code    int    // the server's number, such as 1064
	Line    int    // of the dump; 0 when unknown
	Message string // for people, what was in quotes taken out
	class   error
}

func (e *SQLError) Error() string {
	at := ""
	if e.Line > 0 {
		at = fmt.Sprintf(" at line %d", e.Line)
	}
	return fmt.Sprintf("database error %d%s: %s", e.Code, at, e.Message)
}

// Unwrap gives the class of the error, if it is a known one.
func (e *SQLError) Unwrap() error { return e.class }

var (
	// "ERROR 1064 (42000) at line 3: …" of mariadb; "Got error: 1045: …", "Error 2013: …" and
	// "Couldn't execute '…': … (1356)" of mariadb-dump.
	importFailure = regexp.MustCompile(`ERROR (\d{4})(?: \([0-9A-Z]{5}\))?(?: at line (\d+))?:? ?(.*)`)
	dumpFailure   = regexp.MustCompile(`(?:[Ee]rror:? (\d{4}):? ?(.*))|(?:: (.*) \((\d{4})\)$)`)
	quotedText    = regexp.MustCompile(`'[^']*'?|"[^"]*"?|` + "`[^`]*`?")
)

// clientClasses are the numbers that mysqlClasses lacks: those of the client's own library,
// and refusals to let somebody in.
var clientClasses = map[int]error{
	2002: ErrUnavailable, // CR_CONNECTION_ERROR
	2003: ErrUnavailable, // CR_CONN_HOST_ERROR
	2006: ErrUnavailable, // CR_SERVER_GONE_ERROR
	2013: ErrUnavailable, // CR_SERVER_LOST
	2026: ErrUnavailable, // CR_SSL_CONNECTION_ERROR
	1044: ErrRefusedLogin,
	1045: ErrRefusedLogin,
	1049: ErrRefusedLogin, // unknown database
	1130: ErrRefusedLogin, // host not allowed
	1698: ErrRefusedLogin,
}

// clientError reads what a client said. Its text quotes rows and names of the tenant.
func clientError(program string, exit proc.Exit, stderr []byte) error {
	said := proc.CleanText(stderr)
	e := &SQLError{Code: -1}
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		// Atoi has digits, or for an unknown line nothing: then 0 it is.
		if m := importFailure.FindStringSubmatch(line); m != nil {
			e.Code, _ = strconv.Atoi(m[1])
			e.Line, _ = strconv.Atoi(m[2])
			e.Message = m[3]
			break
		}
		if m := dumpFailure.FindStringSubmatch(line); m != nil {
			e.Code, _ = strconv.Atoi(m[1] + m[4])
			e.Message = m[2] + m[3]
			break
		}
	}
	if e.Code < 0 {
		return fmt.Errorf("%s ended with status %d: %s", filepath.Base(program), exit.Code, withoutValues(firstError(said)))
	}
	e.class = mysqlClasses[uint16(e.Code)]
	if class := clientClasses[e.Code]; class != nil {
		e.class = class
	}
	// A full disk also comes as error 28 of a storage engine, inside of other errors.
	if strings.Contains(e.Message, "No space left on device") || strings.Contains(e.Message, "error 28") || strings.Contains(e.Message, "Errcode: 28") {
		e.class = ErrDatabaseFull
	}
	e.Message = withoutValues(e.Message)
	return fmt.Errorf("running %s: %w", filepath.Base(program), e)
}

// withoutValues takes out whatever a message quotes. A syntax error quotes the rest of the
// statement, over lines and with quotes of its own, so there all behind it goes.
func withoutValues(message string) string {
	message, _, _ = strings.Cut(message, "for the right syntax")
	message = strings.ReplaceAll(message, "n't ", " not ") // no quotes
	return cleanLine(quotedText.ReplaceAllString(message, "'…'"), 300)
}
