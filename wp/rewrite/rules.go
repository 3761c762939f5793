package rewrite

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
	// in notold.test, sub.old.test, old.test.example nor in me@old.test.
	Host
	// Path is the end of a path: /blog is not in /blogger, /blog-2 or /blog.html.
	Path
)

// Place is where an install is: its address, without a slash at the end, and its directory.
type Place struct{ URL, Docroot string }

// SiteRules are the rules that move an install from one place to another.
func SiteRules(from, to Place) []Rule { return nil }
