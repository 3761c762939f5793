package tasks

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/wispanel/wptk/wp"
)

// Bounds of an install's fields, where WordPress or its schema has them.
const (
	maxTitle       = 200
	maxAdminUser   = 60  // wp_users.user_login
	maxAdminEmail  = 100 // wp_users.user_email
	minPassword    = 8
	maxPassword    = 200 // characters; the prompt of WP-CLI reads 1,024 bytes
	maxDBName      = 64
	maxInstallPkgs = 50
)

// Values of Install.Multisite.
const (
	Subdirectories = "subdirectories"
	Subdomains     = "subdomains"
)

var (
	loginPattern   = regexp.MustCompile(`^[A-Za-z0-9_.@][A-Za-z0-9 _.@-]*$`)
	mailboxPattern = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}$")
	dbNamePattern  = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	prefixPattern  = regexp.MustCompile(`^[a-z][a-z0-9_]{0,19}_$`)
	versionPattern = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,3}){1,3}(-(alpha|beta|RC)[0-9]{0,2})?$`)
	packagePattern = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+_-]{0,39}$`)
)

// Validate reports every problem of the payload at once. A missing password is
// none, since the API makes one up, and a sealed one is taken as it is; the node
// insists on one and judges it when it has opened it.
func (p *Install) Validate() []Problem {
	var found problems
	found.add("title", validTitle(p.Title))
	found.add("admin_user", validLogin(p.AdminUser))
	found.add("admin_password", validPassword(p.AdminPassword))
	found.add("admin_email", validEmail(p.AdminEmail))
	found.optional("db_name", p.DBName, validDBName)
	found.optional("version", p.Version, validVersion)
	found.optional("locale", p.Locale, wp.ValidLocale)
	found.optional("table_prefix", p.TablePrefix, validPrefix)
	found.optional("theme", p.Theme, validPackage)
	found.add("plugins", validPackages(p.Plugins))
	found.add("multisite", validMultisite(p.Multisite))
	found.add("install_mode", validMode(p.Mode))
	return found
}

// problems collects what is wrong; an empty reason means that nothing is.
type problems []Problem

func (p *problems) add(field, reason string) {
	if reason != "" {
		*p = append(*p, Problem{Field: field, Reason: reason})
	}
}

func (p *problems) optional(field, value string, check func(string) string) {
	if value != "" {
		p.add(field, check(value))
	}
}

// validText is what holds for everything that people type.
func validText(s string, limit int) string {
	switch n := utf8.RuneCountInString(s); {
	case !utf8.ValidString(s):
		return "is not valid UTF-8"
	case n > limit:
		return fmt.Sprintf("is %d characters long, at most %d are possible", n, limit)
	case strings.ContainsFunc(s, isControl):
		return "has a line break or another control character; leave it out"
	}
	return ""
}

func isControl(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

func validTitle(title string) string { return validText(title, maxTitle) }

// validLogin holds names to WordPress's strict rules (sanitize_user), so that
// the user has the name that was asked for and not what sanitizing made of it.
func validLogin(login string) string {
	switch {
	case login == "":
		return "is missing; choose the administrator's user name"
	case utf8.RuneCountInString(login) > maxAdminUser:
		return fmt.Sprintf("is longer than %d characters", maxAdminUser)
	case !loginPattern.MatchString(login):
		return "may have letters, digits, spaces and _ . - @ only, and may not begin with a space or hyphen"
	case strings.HasSuffix(login, " ") || strings.Contains(login, "  "):
		return "may not end with a space or have two in a row"
	}
	return ""
}

func validPassword(secret Secret) string {
	if secret == "" || secret.Sealed() { // made up by the API, or judged by the node
		return ""
	}
	return validPlainPassword(string(secret))
}

func validPlainPassword(s string) string {
	switch {
	case s == "":
		return "is missing"
	case utf8.RuneCountInString(s) < minPassword:
		return fmt.Sprintf("is too short; use at least %d characters", minPassword)
	case strings.TrimSpace(s) != s:
		return "begins or ends with a space, which WordPress cuts off; leave it out"
	}
	return validText(s, maxPassword)
}

// validEmail follows WordPress's is_email, a part of what RFC 5322 allows.
func validEmail(email string) string {
	const form = "is not an e-mail address that WordPress accepts; write it like me@example.com"
	if email == "" {
		return "is missing; WordPress sends the administrator's mail there"
	}
	if len(email) > maxAdminEmail {
		return fmt.Sprintf("is longer than %d characters", maxAdminEmail)
	}
	mailbox, domain, ok := strings.Cut(email, "@")
	if !ok || !mailboxPattern.MatchString(mailbox) {
		return form
	}
	if reason := wp.ValidDomain(strings.ToLower(domain)); reason != "" {
		return "has a domain that " + reason
	}
	return ""
}

func validDBName(name string) string {
	switch {
	case len(name) > maxDBName:
		return fmt.Sprintf("is longer than %d characters", maxDBName)
	case !dbNamePattern.MatchString(name):
		return "may have letters, digits, _ and - only"
	}
	return ""
}

func validPrefix(prefix string) string {
	if !prefixPattern.MatchString(prefix) {
		return "must begin with a lower case letter, have a-z, 0-9 and _ only, end with _, and be at most 21 characters long, like wp_"
	}
	if prefix == wp.ReservedPrefix {
		return "is reserved; choose another one, like wp_"
	}
	return ""
}

func validVersion(version string) string {
	if version != "latest" && !versionPattern.MatchString(version) {
		return `must be "latest" or a version of WordPress, like 6.5 or 6.5.2`
	}
	return ""
}

func validMultisite(kind string) string {
	switch kind {
	case "", Subdirectories, Subdomains:
		return ""
	}
	return fmt.Sprintf("must be %s or %s; leave it out for a single site", Subdirectories, Subdomains)
}

func validPackages(list []string) string {
	if len(list) > maxInstallPkgs {
		return fmt.Sprintf("has %d entries, at most %d are possible in one request", len(list), maxInstallPkgs)
	}
	seen := map[string]bool{}
	for _, entry := range list {
		if reason := validPackage(entry); reason != "" {
			return fmt.Sprintf("has the entry %q, which %s", shorten(entry), reason)
		}
		slug, _ := splitPackage(entry)
		if seen[slug] {
			return fmt.Sprintf("has %q twice", slug)
		}
		seen[slug] = true
	}
	return ""
}

// validPackage checks "slug" or "slug@version".
func validPackage(entry string) string {
	slug, version := splitPackage(entry)
	if reason := wp.ValidSlug(slug); reason != "" {
		return reason
	}
	if strings.Contains(entry, "@") && !packagePattern.MatchString(version) {
		return "must have a version behind the @, like akismet@5.3"
	}
	return ""
}

func splitPackage(entry string) (slug, version string) {
	slug, version, _ = strings.Cut(entry, "@")
	return slug, version
}

// shorten keeps a hostile value from filling an answer.
func shorten(s string) string {
	if r := []rune(strings.ToValidUTF8(s, "?")); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
