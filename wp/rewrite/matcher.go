package rewrite

import (
	"bytes"
	"slices"
	"strings"
)

// rule is a Rule made ready.
type rule struct {
	from, to    []byte
	edges       Edges
	left, right bool // whether that side is looked at
	port        bool // to ends with a port
}

// compile sorts the rules by their first byte, the longest first.
func (w *Rewriter) compile(rules []Rule) {
	sorted := slices.Clone(rules)
	slices.SortStableFunc(sorted, func(a, b Rule) int { return len(a.From) - len(b.From) })
	for _, r := range sorted {
		if r.From == "" {
			continue
		}
		w.anchor(r.From)
		c := rule{from: []byte(r.From), to: []byte(r.To), edges: r.Edges}
		if r.Edges != Anywhere {
			// A scheme begins wherever it stands; behind a slash anything may come.
			c.left, c.right = !schemed(r.From), r.From[len(r.From)-1] != '/'
			colon := strings.LastIndexByte(r.To, ':')
			c.port = colon >= 0 && colon < len(r.To)-1 && strings.Trim(r.To[colon+1:], "0123456789") == ""
		}
		first := r.From[0]
		w.byFirst[first] = slices.Insert(w.byFirst[first], 0, c)
		w.follows(first, c.from[1:])
	}
}

// follows notes the second byte of a rule; one without is followed by any.
func (w *Rewriter) follows(first byte, rest []byte) {
	if len(rest) == 0 {
		w.seconds[first] = [4]uint64{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}
		return
	}
	w.seconds[first][rest[0]>>6] |= 1 << (rest[0] & 63)
}

// begins says whether a rule may match at s[i], by two bytes; false is certain. Most places
// are none, and the rules are many: the same address in a dozen ways of writing it.
func (w *Rewriter) begins(s []byte, i int) bool {
	if w.byFirst[s[i]] == nil {
		return false
	}
	var second byte // behind the end: a rule that is as short as that matches any
	if i+1 < len(s) {
		second = s[i+1]
	}
	return w.seconds[s[i]][second>>6]&(1<<(second&63)) != 0
}

func schemed(s string) bool {
	rest, ok := strings.CutPrefix(s, "http")
	rest = strings.TrimPrefix(rest, "s")
	return ok && (strings.HasPrefix(rest, ":") || strings.HasPrefix(rest, "%"))
}

// anchor chooses what must be in a value for a rule to match in it at any depth: a part of
// From that no escaping of SQL, JSON or an address changes. Rules share it where they can,
// as each one costs a search over everything.
func (w *Rewriter) anchor(from string) {
	for _, a := range w.anchors {
		if strings.Contains(from, string(a)) {
			return
		}
	}
	longest := ""
	for _, run := range strings.FieldsFunc(from, func(r rune) bool {
		return r >= 0x80 || !isAlnum(byte(r)) && r != '.' && r != '_'
	}) {
		// What follows % or \ may be the digits of an escape.
		if at := strings.Index(from, run); at > 0 && (from[at-1] == '%' || from[at-1] == '\\') {
			continue
		}
		if len(run) > len(longest) {
			longest = run
		}
	}
	if longest == "" {
		w.always = true
		return
	}
	w.anchors = append(w.anchors, []byte(longest))
}

// mayMatch says that a rule may match in s, escaped or not; false is certain.
func (w *Rewriter) mayMatch(s []byte) bool {
	if w.always {
		return true
	}
	for _, a := range w.anchors {
		if bytes.Contains(s, a) {
			return true
		}
	}
	return false
}

// match answers the rule that matches at s[i], nil for none.
func (w *Rewriter) match(s []byte, i int) *rule {
	if !w.begins(s, i) {
		return nil
	}
	rules := w.byFirst[s[i]]
	for n := range rules {
		r := &rules[n]
		if !bytes.HasPrefix(s[i:], r.from) {
			continue
		}
		if (!r.left || leftFree(s, i, r.edges)) && (!r.right || rightFree(s, i+len(r.from), r.edges, r.port)) {
			return r
		}
	}
	return nil
}
