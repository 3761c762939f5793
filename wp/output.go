package wp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/wispanel/wptk/wp/proc"
)

// splitSection takes out what run.php framed. A command that ends the process itself prints
// no end mark; then the section goes on to the end. Without a begin mark it is empty: the
// command was never reached.
func splitSection(out []byte, nonce string) (section, noise []byte) {
	before, rest, ok := bytes.Cut(out, []byte("<<wptk "+nonce+"\n"))
	if !ok {
		return nil, out
	}
	section, after, _ := bytes.Cut(rest, []byte("\nwptk>> "+nonce+"\n"))
	return section, slices.Concat(before, after)
}

// parseJSON reads the one JSON document that a command printed. Nothing else may be there.
func parseJSON(section []byte, into any) error {
	section = bytes.TrimSpace(section)
	if err := json.Unmarshal(section, into); err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	return nil
}

// cleanField makes a text from a site fit for a log, a screen or JSON: one line, capped.
func cleanField(s string) string {
	const most = 512
	s = strings.Join(strings.Fields(proc.CleanText([]byte(s))), " ")
	for len(s) > most {
		_, n := utf8.DecodeLastRuneInString(s[:most])
		s = s[:most-n]
	}
	return s
}

// redactor blots secrets out of text that people get to see.
type redactor struct{ exact *strings.Replacer }

const blot = "[redacted]"

// minSecret keeps a one-letter password from turning the log into blots.
const minSecret = 4

// secretPatterns find what nobody told us of: configuration dumps, hashes, URLs with a
// password, tokens. The first group stays.
var secretPatterns = []*regexp.Regexp{
	regexp.MustCompile(`(?i)((?:pass(?:word|wd)?|_pass|secret|token|api_?key|(?:auth|secure_auth|logged_in|nonce)_(?:key|salt))['"]?\s*(?:[=:,]|=>)\s*)(?:"[^"]*"|'[^']*'|[^\s'",;&)]+)`),
	regexp.MustCompile(`(://[^\s/:@]*:)[^\s/@]+@`),
	regexp.MustCompile(`(?i)(\bbearer\s+)\S+`),
	regexp.MustCompile(`()(?:\$wp)?\$2[aby]\$\d\d\$[./A-Za-z0-9]{20,}`),
	regexp.MustCompile(`()\$[PH]\$[./A-Za-z0-9]{20,}`),
	regexp.MustCompile(`(?i)(identified by\s+)(?:'[^']*'|"[^"]*")`),
}

// newRedactor knows each secret also in the forms in which PHP, a shell and JSON write it.
func newRedactor(secrets []string) redactor {
	var pairs []string
	forms := map[string]bool{}
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		quoted, _ := json.Marshal(s) // no error: a string always has a JSON form
		php := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s)
		shell := strings.ReplaceAll(s, `'`, `'\''`)
		for _, form := range []string{s, string(quoted[1 : len(quoted)-1]), slashed(s), php, shell} {
			forms[form] = true
		}
	}
	longest := slices.SortedFunc(maps.Keys(forms), func(a, b string) int { return len(b) - len(a) })
	for _, form := range longest {
		pairs = append(pairs, form, blot)
	}
	return redactor{exact: strings.NewReplacer(pairs...)}
}

// clean makes hostile bytes into text that can be shown.
func (r redactor) clean(b []byte) string { return r.text(proc.CleanText(b)) }

func (r redactor) text(s string) string {
	if r.exact != nil {
		s = r.exact.Replace(s)
	}
	for _, p := range secretPatterns {
		s = p.ReplaceAllString(s, "${1}"+blot)
	}
	return s
}

const (
	maxLogLines = 200
	maxLogLine  = 2000
)

// writeLog passes the run on to the op's log: the command, what it printed unless that was
// for a parser, what the site printed, and stderr.
func writeLog(log func(string), hide redactor, cmd Command, res Result, noise []byte) {
	if log == nil {
		return
	}
	parts := []string{hide.clean(noise), res.Stderr}
	if !cmd.data {
		parts = append([]string{hide.clean(res.Stdout)}, parts...)
	}
	log("$ " + capLine(hide.text(cmd.String())))
	left := maxLogLines
	for _, part := range parts {
		for line := range strings.Lines(part) {
			if line = strings.TrimRight(line, " \t\n"); line == "" {
				continue
			}
			if left--; left == 0 {
				log("… more output left out")
				return
			}
			log(capLine(line))
		}
	}
}

func capLine(line string) string {
	if len(line) <= maxLogLine {
		return line
	}
	cut := maxLogLine
	for cut > 0 && !utf8.RuneStart(line[cut]) {
		cut--
	}
	return line[:cut] + "…"
}
