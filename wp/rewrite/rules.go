package rewrite

import "strings"

// Rule replaces a text. Of rules that match at one place the longest From wins; what was
// put in is not looked at again.
type Rule struct {
	From, To string
	// Edges says what may stand beside a match; the zero value is: anything.
	Edges Edges
}

// Edges are the neighbours by which a text is a different thing.
type Edges uint8

const (
	// Anywhere matches inside words, too.
	Anywhere Edges = iota
	// Host is the end of a host name or of an address without a path: old.test is neither
	// in notold.test, sub.old.test, old.test.example nor in the mail address me@old.test.
	Host
	// Path is the end of a path: /blog is not in /blogger, /blog-2 or /blog.html.
	Path
)

// Place is where an install is: its address, without a slash at the end, and its directory.
// An empty one has no rules.
type Place struct{ URL, Docroot string }

// SiteRules are the rules that move an install from one place to another: its address with
// https, http and without a scheme, its host name where nothing else of the address stands,
// and its directory, each as text, in JSON (also in JSON of JSON) and in the query of
// another address. Whatever scheme is found becomes that of the new address.
//
// The host of an install below a path (https://old.test/blog) is another install's: alone
// it stays. Other hosts of the site, such as www.old.test, stay as well.
func SiteRules(from, to Place) []Rule {
	var rules []Rule
	add := func(old, new string, edges Edges) {
		if old == "" || old == new {
			return
		}
		rules = append(rules, formsOf(old, new, edges)...)
	}
	_, old, ok := strings.Cut(from.URL, "://")
	_, new, ok2 := strings.Cut(to.URL, "://")
	if ok && ok2 {
		host, path, below := strings.Cut(old, "/")
		edges := Host
		if below && path != "" {
			edges = Path
		}
		add("https://"+old, to.URL, edges)
		add("http://"+old, to.URL, edges)
		add("//"+old, "//"+new, edges)
		switch newHost, _, moved := strings.Cut(new, "/"); {
		case edges == Path:
			add(old, new, Path)
		case moved: // an address when a path follows, else a name
			add(host+"/", new+"/", Host)
			add(host, newHost, Host)
		default:
			add(host, newHost, Host)
		}
	}
	add(strings.TrimRight(from.Docroot, "/"), strings.TrimRight(to.Docroot, "/"), Path)
	return rules
}

// Traces are rules that change nothing: with them Count finds a host, an address or a path in
// every form that SiteRules would have moved.
func Traces(text string) []Rule {
	_, below, _ := strings.Cut(strings.TrimPrefix(text[strings.Index(text, "://")+1:], "//"), "/")
	if below != "" {
		return formsOf(text, text, Path)
	}
	return formsOf(text, text, Host)
}

func formsOf(old, new string, edges Edges) (rules []Rule) {
	seen := map[string]bool{}
	for _, form := range forms {
		if from := form.Replace(old); !seen[from] {
			seen[from] = true
			rules = append(rules, Rule{from, form.Replace(new), edges})
		}
	}
	return rules
}

// forms are the ways in which a text with slashes and colons is written down. Each level of
// JSON doubles the backslashes in front of a slash and adds one, or none. The block editor
// writes -- (as in xn--) as \u002d\u002d in the JSON of its comments.
var forms = func() (all []*strings.Replacer) {
	for n := range 8 { // three levels
		all = append(all, strings.NewReplacer("/", strings.Repeat(`\`, n)+"/"))
	}
	return append(all,
		strings.NewReplacer("/", "%2F", ":", "%3A"),
		strings.NewReplacer("/", "%2f", ":", "%3a"),
		strings.NewReplacer("/", "%252F", ":", "%253A"),
		strings.NewReplacer("--", `\u002d\u002d`),
		strings.NewReplacer("--", `\u002d\u002d`, "/", `\/`),
	)
}()
