package wp

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// rule is what a measure asks of the web server: a denied path, a denied query, or
// directives of its own. The patterns are PCRE, which both servers speak; "/" stands
// as "/+" wherever a doubled slash would do as well.
type rule struct {
	path, except   string   // of the URL, behind the install's own path; and what is let through
	query, outside string   // of the query string, except below this path
	apache, nginx  []string // directives for the whole install

	sample string // a URL below the install that is then refused
	header string // or one that every answer then has
}

// anyPHP is every name that some server has been told to run as PHP.
const anyPHP = `[^?]*\.(?:php\d?|pht|phtml|phps|phar|inc)(?:/|$)`

// spelled matches a word in a query string, whose letters may be written as %XX.
func spelled(word string) string {
	var b strings.Builder
	for _, c := range []byte(word) {
		fmt.Fprintf(&b, "(?:%c|%%%x|%%%x)", c, c, c-'a'+'A')
	}
	return b.String()
}

var headers = [][2]string{
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "SAMEORIGIN"},
	{"Referrer-Policy", "strict-origin-when-cross-origin"},
}

func apacheHeaders() []string {
	lines := []string{"<IfModule mod_headers.c>"}
	for _, h := range headers {
		lines = append(lines, fmt.Sprintf("\tHeader always set %s %q", h[0], h[1]))
	}
	return append(lines, "</IfModule>")
}

func nginxHeaders() []string {
	var lines []string
	for _, h := range headers {
		lines = append(lines, fmt.Sprintf("add_header %s %q always;", h[0], h[1]))
	}
	return lines
}

// The markers of our block in .htaccess.
const (
	blockBegin = "# BEGIN WPTK"
	blockEnd   = "# END WPTK"
)

// ApacheBlock renders the rules of measures for the .htaccess of the docroot; "" when
// there are none. It holds below that directory whatever address leads there, so a
// subdirectory install gets the same text.
//
// <If> is merged behind everything else, .htaccess files further down included, so
// nothing that is uploaded lifts a denial. Apache 2.4.
func ApacheBlock(active func(id string) bool) string {
	var b strings.Builder
	for _, m := range Measures {
		if m.rule == nil || !active(m.ID) {
			continue
		}
		fmt.Fprintf(&b, "# %s\n", m.ID)
		switch r := m.rule; {
		case r.path != "":
			fmt.Fprintf(&b, "<If \"%%{REQUEST_URI} =~ m#^%s#i\">\n\tRequire all denied\n</If>\n", unless(r.except)+leading+r.path)
		case r.query != "":
			fmt.Fprintf(&b, "<If \"%%{QUERY_STRING} =~ m#%s#i && ! ( %%{REQUEST_URI} =~ m#%s#i )\">\n\tRequire all denied\n</If>\n", r.query, r.outside)
		default:
			b.WriteString(strings.Join(r.apache, "\n") + "\n")
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return blockBegin + "\n# Written by WisPanel WordPress Toolkit, which replaces everything up to the end mark.\n" + b.String() + blockEnd + "\n"
}

// leading lets any directories be in front: those that lead to the docroot.
const leading = `(?:/+[^/]+)*?`

func unless(except string) string {
	if except == "" {
		return ""
	}
	return "(?!" + except + ")"
}

// ErrBlock says that the marks of our block in .htaccess are damaged, so that what is
// ours cannot be told from what is not.
var ErrBlock = errors.New("the marks of the toolkit's block in .htaccess are damaged")

// SetBlock puts a block in front of an .htaccess file, replaces the one that is there,
// or with "" takes it away. Every other byte stays.
func SetBlock(src, block string) (string, error) {
	begin, end, err := findBlock(src)
	if err != nil {
		return "", err
	}
	if begin < 0 {
		return block + src, nil
	}
	return src[:begin] + block + src[end:], nil
}

// Block is the toolkit's block in an .htaccess file, "" when there is none.
func Block(src string) (string, error) {
	begin, end, err := findBlock(src)
	if err != nil || begin < 0 {
		return "", err
	}
	return src[begin:end], nil
}

func findBlock(src string) (begin, end int, err error) {
	begin, end = -1, -1
	for at := 0; at < len(src); {
		next := len(src)
		if n := strings.IndexByte(src[at:], '\n'); n >= 0 {
			next = at + n + 1
		}
		switch line := strings.TrimSpace(src[at:next]); {
		case line == blockBegin && begin < 0:
			begin = at
		case line == blockEnd && begin >= 0 && end < 0:
			end = next
		case line == blockBegin, line == blockEnd:
			return 0, 0, ErrBlock
		}
		at = next
	}
	if begin >= 0 && end < 0 {
		return 0, 0, ErrBlock
	}
	return begin, end, nil
}

// plainBase is a URL path that needs no quoting in a pattern but for its dots.
var plainBase = regexp.MustCompile(`^/(?:[A-Za-z0-9._~-]+/)*$`)

// NginxRules renders the rules of measures for the file that the site's server block
// includes in front of its own locations. base is the path of the install's address,
// "/" or "/blog/". What would hold for the whole server is left out below a path.
func NginxRules(base string, active func(id string) bool) (string, error) {
	if !plainBase.MatchString(base) {
		return "", fmt.Errorf("rendering nginx rules: path %q has characters that are not allowed", base)
	}
	prefix := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSuffix(base, "/")), "/", "/+")
	var b strings.Builder
	for _, m := range Measures {
		if m.rule == nil || !active(m.ID) || !m.rule.fits(base) {
			continue
		}
		fmt.Fprintf(&b, "# %s\n", m.ID)
		switch r := m.rule; {
		case r.path != "":
			fmt.Fprintf(&b, "location ~* \"^%s%s%s\" {\n\tdeny all;\n}\n", unless(r.except), prefix, r.path)
		case r.query != "":
			// One condition over the raw request line: nginx cannot join two.
			fmt.Fprintf(&b, "if ($request_uri ~* \"^%s(?!%s)/[^?]*\\?(?:[^#]*&)?%s\") {\n\treturn 403;\n}\n",
				prefix, r.outside, strings.TrimPrefix(r.query, `(?:^|&)`))
		default:
			b.WriteString(strings.Join(r.nginx, "\n") + "\n")
		}
	}
	if b.Len() == 0 {
		return "", nil
	}
	return "# Written by WisPanel WordPress Toolkit and replaced at every change.\n" + b.String(), nil
}

// fits reports whether nginx can limit a rule to an install below a path.
func (r *rule) fits(base string) bool { return base == "/" || r.path != "" || r.query != "" }
