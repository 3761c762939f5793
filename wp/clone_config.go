package wp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// ClonedConfig says what a copy of an install has in its wp-config.php in place of the
// original's values. All else stays as the owner wrote it.
type ClonedConfig struct {
	DBName, DBUser, DBPassword, DBHost string
	TablePrefix                        string
	URL                                string // for WP_HOME and WP_SITEURL, where the original defines them
	CacheSalt                          string // keeps the keys of a shared object cache apart
	// Revert are changes of ours that were for the original alone.
	Revert []ConfigChange
	// Rewrite replaces the addresses and paths that are left; nil leaves them.
	Rewrite func([]byte) []byte
}

// cachePrefixes are the constants by which object caches and their plugins keep sites apart.
var cachePrefixes = []string{"WP_CACHE_KEY_SALT", "WP_REDIS_PREFIX", "WPCACHEKEY_SALT"}

// Apply makes the wp-config.php of the copy out of the original's. Keys and salts are fresh, so
// that no session of the original opens the copy. The error is ErrUncertain or ErrNotConfig
// when the file computes what would have to be changed.
func (o ClonedConfig) Apply(src []byte) ([]byte, error) {
	src, err := RevertConfig(src, o.Revert)
	if err != nil {
		return nil, err
	}
	if o.Rewrite != nil {
		src = o.Rewrite(src)
	}
	if src, err = setTablePrefix(src, o.TablePrefix); err != nil {
		return nil, err
	}
	edits, err := o.edits(src)
	if err != nil {
		return nil, err
	}
	next, _, err := EditConfig(src, edits...)
	if err != nil {
		return nil, err
	}
	return next, o.check(next)
}

func (o ClonedConfig) edits(src []byte) ([]ConfigEdit, error) {
	edits, err := saltEdits()
	if err != nil {
		return nil, err
	}
	values := map[string]string{"DB_NAME": o.DBName, "DB_USER": o.DBUser, "DB_PASSWORD": o.DBPassword, "DB_HOST": o.DBHost}
	names := []string{"DB_NAME", "DB_USER", "DB_PASSWORD", "DB_HOST"}
	for _, name := range append([]string{"WP_HOME", "WP_SITEURL"}, cachePrefixes...) {
		defined, err := ConfigConsts(src, name)
		switch {
		case errors.Is(err, ErrUncertain):
			continue // computed, mostly from the name that the visitor has asked for
		case err != nil:
			return nil, err
		case defined[name].Defined:
			values[name], names = o.CacheSalt, append(names, name)
			if strings.HasPrefix(name, "WP_HOME") || name == "WP_SITEURL" {
				values[name] = o.URL
			}
		}
	}
	for _, name := range names {
		value, err := PHPText(values[name])
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", name, err)
		}
		edits = append(edits, ConfigEdit{name, value})
	}
	return edits, nil
}

// check reads the new file by the parser that adopts sites: a mistake ends here.
func (o ClonedConfig) check(next []byte) error {
	c, err := ParseConfig(next)
	if err != nil {
		return err
	}
	if c.DBName != o.DBName || c.DBUser != o.DBUser || c.DBPassword != o.DBPassword || c.DBHost != o.DBHost || c.TablePrefix != o.TablePrefix {
		return fmt.Errorf("%w: the copy would say %v", ErrUncertain, c)
	}
	return nil
}

// setTablePrefix changes the one plain assignment of $table_prefix.
func setTablePrefix(src []byte, prefix string) ([]byte, error) {
	if !prefixPattern.MatchString(prefix) {
		return nil, fmt.Errorf("setting table prefix: %q may have letters, digits and _ only", prefix)
	}
	text := string(src)
	d, err := readConfig(text)
	if err != nil {
		return nil, err
	}
	assigned := 0
	for i, t := range d.tokens {
		if t.kind == phpVar && t.text == "table_prefix" && i+1 < len(d.tokens) && d.tokens[i+1].is("=") {
			assigned++
		}
	}
	if assigned != 1 || !d.prefix.set {
		return nil, fmt.Errorf("%w: it does not give $table_prefix in one plain statement", ErrUncertain)
	}
	return []byte(d.replace(d.prefix, "'"+prefix+"'")), nil
}

// rebase replaces the path of a site in the lines by which WordPress has Apache send it
// everything (RewriteBase, RewriteRule), which no address in the tables names.
func rebase(src []byte, from, to string) []byte {
	if from == to {
		return src
	}
	var out bytes.Buffer
	for line := range bytes.Lines(src) {
		switch text := string(line); {
		case strings.TrimSpace(text) == "RewriteBase "+from:
			text = strings.Replace(text, "RewriteBase "+from, "RewriteBase "+to, 1)
			out.WriteString(text)
		case strings.TrimSpace(text) == "RewriteRule . "+from+"index.php [L]":
			text = strings.Replace(text, from+"index.php", to+"index.php", 1)
			out.WriteString(text)
		default:
			out.Write(line)
		}
	}
	return out.Bytes()
}

// CloneSettings are the files beside wp-config.php in which servers, firewalls and caches
// keep addresses and paths, relative to the docroot.
var CloneSettings = []string{
	".htaccess", ".user.ini", "php.ini", "wordfence-waf.php",
	"wp-content/advanced-cache.php", "wp-content/wp-cache-config.php",
}

// RewriteSettings is what a copy has in such a file.
func RewriteSettings(name string, src []byte, from, to Site, rewrite func([]byte) []byte) []byte {
	src = rewrite(src)
	if name == ".htaccess" {
		src = rebase(src, from.base(), to.base())
	}
	return src
}

// NewCacheSalt is fresh text for WP_CACHE_KEY_SALT and its like.
func NewCacheSalt(siteID string) string {
	return siteID + ":" + NewPassword(8) + ":"
}
