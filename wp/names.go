package wp

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// The functions below say what is wrong with a name in words that tell what to change, to
// be shown behind the name of a field; the empty string means that it is fine. They are
// pure and are applied on both sides: by the API to answer, by the node to be sure.

const (
	maxDomain    = 253 // RFC 1035 section 3.1, without the final dot
	maxLabel     = 63
	maxAccount   = 32 // useradd(8)
	maxPath      = 255
	maxComponent = 64
)

// ValidDomain checks a host name as it is written in a URL: lower case letters, digits and
// hyphens, at least two labels, international names in their xn-- form.
func ValidDomain(domain string) string {
	switch {
	case domain == "":
		return "is missing"
	case len(domain) > maxDomain:
		return fmt.Sprintf("is %d characters long, at most %d are possible", len(domain), maxDomain)
	case !isASCII(domain):
		return "has characters that are not ASCII; write an international name in its xn-- form"
	case domain != strings.ToLower(domain):
		return "has upper case letters; write it in lower case"
	case strings.HasSuffix(domain, "."):
		return "ends with a dot; leave the dot out"
	}
	labels := strings.Split(domain, ".")
	if len(labels) < 2 {
		return "has only one label; write the full name, such as blog.example.com"
	}
	for _, label := range labels {
		if reason := validLabel(label); reason != "" {
			return reason
		}
	}
	if _, err := netip.ParseAddr(domain); err == nil || isDigits(labels[len(labels)-1]) {
		return "is an IP address; write a domain name"
	}
	return ""
}

func validLabel(label string) string {
	switch {
	case label == "":
		return "has an empty label; two dots must not follow each other, nor one be first"
	case len(label) > maxLabel:
		return fmt.Sprintf("has a label of %d characters, at most %d are possible", len(label), maxLabel)
	case label[0] == '-' || label[len(label)-1] == '-':
		return fmt.Sprintf("has the label %q; a label must not begin or end with a hyphen", label)
	}
	if i := strings.IndexFunc(label, func(r rune) bool { return !isLower(r) && !isDigit(r) && r != '-' }); i >= 0 {
		return fmt.Sprintf("has the character %q; only letters, digits, hyphens and dots are possible", label[i])
	}
	return ""
}

// ValidPath checks where an install lives below its domain's directory, such as
// "public_html" or "public_html/blog". It has to be given in its cleaned form.
func ValidPath(path string) string {
	switch {
	case path == "":
		return "is missing; the usual value is public_html"
	case len(path) > maxPath:
		return fmt.Sprintf("is %d bytes long, at most %d are possible", len(path), maxPath)
	case path[0] == '/':
		return "is absolute; give it relative to the domain's directory, such as public_html"
	case strings.HasSuffix(path, "/"):
		return "ends with a slash; leave the slash out"
	}
	for part := range strings.SplitSeq(path, "/") {
		if reason := validComponent(part); reason != "" {
			return reason
		}
	}
	return ""
}

func validComponent(part string) string {
	switch {
	case part == "":
		return "has two slashes in a row; write one"
	case part == "..":
		return "has the part \"..\"; it must stay inside the domain's directory"
	case part[0] == '.':
		return fmt.Sprintf("has the part %q; no part may begin with a dot", part)
	case part[0] == '-':
		return fmt.Sprintf("has the part %q; no part may begin with a hyphen", part)
	case len(part) > maxComponent:
		return fmt.Sprintf("has a part of %d characters, at most %d are possible", len(part), maxComponent)
	}
	for _, r := range part {
		if !isLower(r) && !isUpper(r) && !isDigit(r) && !strings.ContainsRune("-_.", r) {
			return fmt.Sprintf("has the character %q; only letters, digits, -, _ and . are possible", r)
		}
	}
	return ""
}

// ValidAccount checks the name of a hosting account, which is a Unix user name as
// useradd(8) accepts it.
func ValidAccount(account string) string {
	switch {
	case account == "":
		return "is missing"
	case len(account) > maxAccount:
		return fmt.Sprintf("is %d characters long, at most %d are possible", len(account), maxAccount)
	}
	for i, r := range account {
		switch {
		case isLower(r) || r == '_':
		case i > 0 && (isDigit(r) || r == '-'):
		case i == 0:
			return "must begin with a lower case letter or an underscore"
		default:
			return fmt.Sprintf("has the character %q; only a-z, 0-9, _ and - are possible", r)
		}
	}
	return ""
}

// ValidSlug checks the directory name of a plugin or theme, such as "akismet".
func ValidSlug(slug string) string {
	switch {
	case slug == "":
		return "is missing"
	case len(slug) > maxComponent:
		return fmt.Sprintf("is %d characters long, at most %d are possible", len(slug), maxComponent)
	case slug[0] == '-' || slug[0] == '.':
		return "must begin with a letter or a digit"
	}
	for _, r := range slug {
		if !isLower(r) && !isUpper(r) && !isDigit(r) && !strings.ContainsRune("-_.", r) {
			return fmt.Sprintf("has the character %q; write the slug, such as akismet", r)
		}
	}
	return ""
}

// ValidLocale checks a WordPress locale: "en_US", "de_DE_formal", "ckb", "roh".
func ValidLocale(locale string) string {
	const form = "must be a WordPress locale, such as en_US, de_DE_formal or ckb"
	parts := strings.Split(locale, "_")
	if len(parts) > 3 || len(parts[0]) < 2 || len(parts[0]) > 3 || strings.Trim(parts[0], lower) != "" {
		return form
	}
	for _, part := range parts[1:] {
		if part == "" || len(part) > 12 || strings.Trim(part, lower+upper+digits) != "" {
			return form
		}
	}
	return ""
}

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits = "0123456789"
)

func isLower(r rune) bool { return 'a' <= r && r <= 'z' }
func isUpper(r rune) bool { return 'A' <= r && r <= 'Z' }
func isDigit(r rune) bool { return '0' <= r && r <= '9' }

func isDigits(s string) bool { return s != "" && strings.Trim(s, digits) == "" }

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}
