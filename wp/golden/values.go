package golden

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Values are what one install has of its own.
type Values struct {
	Prefix string // of tables
	URL    string // of the site, without a slash at the end
	Title  string
	Login  string // of the administrator
	Email  string
	Hash   string // of the administrator's password, as Hash makes it
	Now    time.Time
}

var (
	plainURL    = regexp.MustCompile(`^https?://[a-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._-]+)*$`)
	plainEmail  = regexp.MustCompile(`^[A-Za-z0-9._+=-]+@[A-Za-z0-9.-]+$`)
	plainLogin  = regexp.MustCompile(`^[A-Za-z0-9_.@-]+( [A-Za-z0-9_.@-]+)*$`)
	plainPrefix = regexp.MustCompile(`^[a-z][a-z0-9_]*_$`)
	entity      = regexp.MustCompile(`&#?[0-9A-Za-z]+;`)
)

// Refuse says why a template cannot stand for an installation with these values; empty when
// it can. WordPress sends what people type through filters (sanitize_user, sanitize_email,
// wp_filter_kses, esc_html); only values that come out of them as is known here are taken.
func (v Values) Refuse() string {
	switch {
	case !plainPrefix.MatchString(v.Prefix):
		return "the table prefix has unusual characters"
	case !plainURL.MatchString(v.URL):
		return "the address has unusual characters"
	case !plainEmail.MatchString(v.Email):
		return "the e-mail address has unusual characters"
	case !plainLogin.MatchString(v.Login) || nicename(v.Login) == "":
		return "the administrator's name has unusual characters"
	case entity.MatchString(v.Title):
		return "the title has an HTML entity in it"
	}
	return ""
}

// title is how WordPress stores it: esc_html. An ampersand is not one of an entity (Refuse).
func title(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#039;").Replace(s)
}

var (
	notNice = regexp.MustCompile(`[^a-z0-9 _-]`)
	dashes  = regexp.MustCompile(`[ -]+`)
)

// nicename is what sanitize_title makes of the first 50 characters of a login.
func nicename(login string) string {
	if len(login) > 50 {
		login = login[:50]
	}
	s := strings.ReplaceAll(strings.ToLower(login), ".", "-")
	s = notNice.ReplaceAllString(s, "")
	return strings.Trim(dashes.ReplaceAllString(s, "-"), "-")
}

// Shape is what WordPress decides by when it is installed, besides its own version: the
// scheme of the address, and whether that has a path.
type Shape struct {
	HTTPS bool
	Below bool
}

// ShapeOf is the shape of an address.
func ShapeOf(address string) (Shape, error) {
	u, err := url.Parse(address)
	if err != nil {
		return Shape{}, fmt.Errorf("reading address: %w", err)
	}
	return Shape{HTTPS: u.Scheme == "https", Below: strings.Trim(u.Path, "/") != ""}, nil
}

const mark = "wptkgolden"

// Sample are values for the installation that a template is made of. None of them is a part
// of another one or of anything that WordPress brings along.
func (s Shape) Sample() Values {
	return Values{Prefix: mark + "prefix_", URL: s.address(mark+"host.invalid", "/"+mark+"path"),
		Title: mark + "title", Login: mark + ".login", Email: mark + "mail@example.com"}
}

// Second are values for the installation that a template is compared with. They are of other
// lengths, and have characters that WordPress changes.
func (s Shape) Second() Values {
	return Values{Prefix: "second_", URL: s.address("second-host.invalid", "/a/second.Path_2"),
		Title: `Second <"o'clock"> & more ☕`, Login: "The Second@2.x", Email: "second+2@mail.example.com"}
}

func (s Shape) address(host, path string) string {
	address := "http://" + host
	if s.HTTPS {
		address = "https://" + host
	}
	if s.Below {
		address += path
	}
	return address
}
