package wp

import (
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ConfigOptions is what a new wp-config.php says. Everything that is left empty
// and may be, is filled in by RenderConfig.
type ConfigOptions struct {
	DBName, DBUser, DBPassword string
	DBHost                     string // "localhost" when empty
	Charset                    string // "utf8mb4" when empty
	TablePrefix                string // a random one, wp_xxxx_, when empty

	Home, SiteURL string // WP_HOME and WP_SITEURL; left to the database when empty
	Multisite     *MultisiteOptions
}

// MultisiteOptions are the constants of a network.
type MultisiteOptions struct {
	Subdomains bool
	Domain     string
	Path       string // "/" when empty
}

// LineSafe is text that may be written into a line of a file that somebody
// parses: valid UTF-8 without control characters or line separators. Only
// NewLineSafe makes one, and sinks of this package take nothing else: a value
// that carries a line break once rewrote a session file of a well-known panel
// (CVE-2026-41940), and one forgotten check was enough.
type LineSafe struct{ s string }

// ErrNotLineSafe is the class of NewLineSafe's errors.
var ErrNotLineSafe = errors.New("text has a line break or control character")

// NewLineSafe refuses what cannot stand on one line.
func NewLineSafe(s string) (LineSafe, error) {
	if !utf8.ValidString(s) {
		return LineSafe{}, fmt.Errorf("%w: not valid UTF-8", ErrNotLineSafe)
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return LineSafe{}, fmt.Errorf("%w: %U", ErrNotLineSafe, r)
		}
	}
	return LineSafe{s: s}, nil
}

func (l LineSafe) String() string { return l.s }

// phpString writes a PHP single-quoted literal. Between single quotes PHP knows
// two escapes only, \\ and \', so this is the whole encoder.
func phpString(l LineSafe) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(l.s) + "'"
}

// prefixPattern is what WordPress allows ($wpdb->set_prefix), starting with a
// letter so that no tool takes the table for a number.
var prefixPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,30}$`)

// RenderConfig writes a complete wp-config.php, in the order and tone of
// WordPress's own sample, with fresh salts. Values are encoded, never pasted.
func RenderConfig(o ConfigOptions) ([]byte, error) {
	o.fill()
	if !prefixPattern.MatchString(o.TablePrefix) {
		return nil, fmt.Errorf("rendering wp-config: table prefix %q may have letters, digits and _ only", o.TablePrefix)
	}
	w := &configWriter{}
	w.raw("<?php\n/**\n * The configuration of this WordPress.\n *\n * Written by WisPanel WordPress Toolkit. Edit it as you like: it is not\n" +
		" * written again unless you ask for it.\n *\n * @package WordPress\n */\n")

	w.heading("Database settings")
	w.text("DB_NAME", o.DBName)
	w.text("DB_USER", o.DBUser)
	w.text("DB_PASSWORD", o.DBPassword)
	w.text("DB_HOST", o.DBHost)
	w.text("DB_CHARSET", o.Charset)
	w.text("DB_COLLATE", "")

	w.heading("Keys and salts: changing them logs everybody out")
	for _, name := range saltNames {
		w.text(name, newSalt())
	}

	w.heading("Table prefix: letters, digits and underscores only")
	w.raw("$table_prefix = '" + o.TablePrefix + "';\n") // holds no character that needs an escape
	w.addresses(o)
	w.network(o.Multisite)

	w.heading("Debugging: never on a public site")
	w.literal("WP_DEBUG", "false")

	w.raw("\n/* Own settings go above this line. */\n")
	w.raw("\nif ( ! defined( 'ABSPATH' ) ) {\n\tdefine( 'ABSPATH', __DIR__ . '/' );\n}\n\nrequire_once ABSPATH . 'wp-settings.php';\n")
	if w.err != nil {
		return nil, fmt.Errorf("rendering wp-config: %w", w.err)
	}
	return []byte(w.b.String()), nil
}

func (o *ConfigOptions) fill() {
	if o.DBHost == "" {
		o.DBHost = "localhost"
	}
	if o.Charset == "" {
		o.Charset = "utf8mb4"
	}
	if o.TablePrefix == "" {
		o.TablePrefix = NewTablePrefix()
	}
	if o.Multisite != nil && o.Multisite.Path == "" {
		m := *o.Multisite
		m.Path = "/"
		o.Multisite = &m
	}
}

// configWriter keeps the first error, so that the file above reads as a file.
type configWriter struct {
	b   strings.Builder
	err error
}

func (w *configWriter) raw(s string) { w.b.WriteString(s) }

func (w *configWriter) heading(s string) { w.raw("\n/** " + s + " */\n") }

func (w *configWriter) literal(name, php string) { w.raw("define( '" + name + "', " + php + " );\n") }

func (w *configWriter) text(name, value string) {
	safe, err := NewLineSafe(value)
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("%s: %w", name, err)
	}
	w.literal(name, phpString(safe))
}

func (w *configWriter) addresses(o ConfigOptions) {
	if o.Home == "" && o.SiteURL == "" {
		return
	}
	w.heading("Addresses of the site")
	if o.Home != "" {
		w.text("WP_HOME", o.Home)
	}
	if o.SiteURL != "" {
		w.text("WP_SITEURL", o.SiteURL)
	}
}

// network writes the constants that `wp core multisite-install` would add.
func (w *configWriter) network(m *MultisiteOptions) {
	if m == nil {
		return
	}
	w.heading("Network")
	w.literal("WP_ALLOW_MULTISITE", "true")
	w.literal("MULTISITE", "true")
	w.literal("SUBDOMAIN_INSTALL", fmt.Sprint(m.Subdomains))
	w.text("DOMAIN_CURRENT_SITE", m.Domain)
	w.text("PATH_CURRENT_SITE", m.Path)
	w.literal("SITE_ID_CURRENT_SITE", "1")
	w.literal("BLOG_ID_CURRENT_SITE", "1")
}

var saltNames = [8]string{
	"AUTH_KEY", "SECURE_AUTH_KEY", "LOGGED_IN_KEY", "NONCE_KEY",
	"AUTH_SALT", "SECURE_AUTH_SALT", "LOGGED_IN_SALT", "NONCE_SALT",
}

// saltAlphabet leaves out what other people's regular expressions stumble over
// in a wp-config: quotes, backslash, $, &, ; and ? (wp-config-transformer#17).
const saltAlphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!@#%^*()-_[]{}<>~+=,.:/|"

const passwordAlphabet = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"

func newSalt() string { return randomText(saltAlphabet, 64) }

// NewTablePrefix makes a fresh prefix, wp_xxxx_.
func NewTablePrefix() string {
	return "wp_" + randomText("abcdefghijklmnopqrstuvwxyz0123456789", 4) + "_"
}

// NewPassword makes a password of n characters that need no quoting anywhere;
// characters that people mistake for one another are left out.
func NewPassword(n int) string { return randomText(passwordAlphabet, n) }

// randomText picks n characters without bias: bytes past the largest multiple
// of the alphabet's length are thrown away.
func randomText(alphabet string, n int) string {
	limit := 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	buf := make([]byte, 2*n)
	for len(out) < n {
		rand.Read(buf) // never fails, see crypto/rand
		for _, b := range buf {
			if int(b) < limit && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}
