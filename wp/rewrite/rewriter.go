package rewrite

import (
	"bytes"
	"strconv"
)

// Rewriter replaces texts in values. It does not change and may be used by many.
type Rewriter struct {
	byFirst [256][]rule
	seconds [256][4]uint64 // by the first byte: a bit for each byte that a rule has behind it
	anchors [][]byte
	always  bool // a rule has no anchor: every value may match
}

// New makes a rewriter of rules; those with an empty From are left out.
func New(rules []Rule) *Rewriter {
	w := &Rewriter{}
	w.compile(rules)
	return w
}

// Text rewrites one value: a text, JSON, PHP's serialization, or these in one another, to
// any depth that people reach. Serialized strings get their new length, keys of arrays
// included; so do those inside of another text. Where a length could not be kept true the
// old text stays: in a string whose length is wrong already, in what a class has serialized
// by its own code (C:), and in names of classes. Base64 is not looked into.
//
// changed is the number of replacements; with none, out is s itself. out is never s changed
// in place.
func (w *Rewriter) Text(s []byte) (out []byte, changed int) {
	r := run{w: w}
	out = r.text(s, 0)
	return out, r.changed
}

// Count is the number of matches in a value, whatever it is.
func (w *Rewriter) Count(s []byte) int {
	n := 0
	if !w.mayMatch(s) {
		return 0
	}
	for i := 0; i < len(s); {
		if r := w.match(s, i); r != nil {
			n++
			i += len(r.from)
			continue
		}
		i++
	}
	return n
}

// maxDepth is how many strings may be in one another. Each level is read once more, so this
// also bounds the work that a hostile value makes.
const maxDepth = 24

// run is the rewriting of one value.
type run struct {
	w             *Rewriter
	changed, left int // matches
}

// output is a value being copied: s[:done] is in buf. While nothing has changed buf is nil.
type output struct {
	s, buf []byte
	done   int
}

// replace puts text in the place of s[from:to].
func (o *output) replace(from, to int, text []byte) {
	if o.buf == nil {
		o.buf = make([]byte, 0, len(o.s)+len(o.s)/8+len(text))
	}
	o.buf = append(append(o.buf, o.s[o.done:from]...), text...)
	o.done = to
}

func (o *output) bytes() []byte {
	if o.buf == nil {
		return o.s
	}
	return append(o.buf, o.s[o.done:]...)
}

// text walks over the serialized strings in s; what is between them is plain, or JSON.
func (r *run) text(s []byte, depth int) []byte {
	if !r.w.mayMatch(s) {
		return s
	}
	if depth > maxDepth {
		r.left += r.w.Count(s)
		return s
	}
	out := output{s: s}
	for pos := 0; pos < len(s); {
		t := nextToken(s, pos)
		r.between(&out, pos, t.start, depth)
		pos = t.end
		switch t.kind {
		case tokenString:
			r.payload(&out, t, depth)
		case tokenOpaque:
			r.left += r.w.Count(s[t.start:t.end])
		case tokenBroken:
			r.sameLength(&out, t.start, t.end)
		}
	}
	return out.bytes()
}

// payload rewrites what a serialized string holds, and its length.
func (r *run) payload(out *output, t token, depth int) {
	before, old := r.changed, out.s[t.from:t.to]
	if t.escaped {
		old = unescapeS(old)
	}
	text := r.text(old, depth+1)
	if r.changed == before {
		return
	}
	head := append(strconv.AppendInt([]byte("s:"), int64(len(text)), 10), `:"`...)
	out.replace(t.start, t.from, head)
	out.replace(t.from, t.to, text)
}

// between rewrites s[from:to], which has no serialized string in it but may have JSON whose
// strings have some.
func (r *run) between(out *output, from, to, depth int) {
	switch part := out.s[from:to]; {
	case !r.w.mayMatch(part):
	case hasEscapedToken(part):
		r.quoted(out, from, to, depth)
	default:
		r.plain(out, from, to)
	}
}

func (r *run) plain(out *output, from, to int) {
	for i := from; i < to; {
		if !r.w.begins(out.s, i) { // what match would find, without the call
			i++
			continue
		}
		if m := r.w.match(out.s, i); m != nil && i+len(m.from) <= to {
			out.replace(i, i+len(m.from), m.to)
			r.changed++
			i += len(m.from)
			continue
		}
		i++
	}
}

// sameLength replaces only where no length changes, and counts the rest.
func (r *run) sameLength(out *output, from, to int) {
	for i := from; i < to; {
		m := r.w.match(out.s, i)
		if m == nil || i+len(m.from) > to {
			i++
			continue
		}
		if len(m.from) == len(m.to) {
			out.replace(i, i+len(m.from), m.to)
			r.changed++
		} else {
			r.left++
		}
		i += len(m.from)
	}
}

// quoted goes through the strings in double quotes in s[from:to]. One that has serialized
// strings in it, escaped, is taken out of its quotes, rewritten and put back.
func (r *run) quoted(out *output, from, to, depth int) {
	for from < to {
		open := bytes.IndexByte(out.s[from:to], '"')
		if open < 0 {
			r.outside(out, from, to)
			return
		}
		open += from
		r.outside(out, from, open)
		end := closingQuote(out.s[:to], open+1)
		if end < 0 {
			r.outside(out, open, to)
			return
		}
		r.inside(out, open+1, end, depth)
		from = end + 1
	}
}

// outside is text that is not in quotes. Serialized strings with escaped quotes that stand
// there were escaped by mistake: their lengths are to stay true for whoever unescapes them.
func (r *run) outside(out *output, from, to int) {
	if hasEscapedToken(out.s[from:to]) {
		r.sameLength(out, from, to)
		return
	}
	r.plain(out, from, to)
}

func (r *run) inside(out *output, from, to, depth int) {
	raw := out.s[from:to]
	if !r.w.mayMatch(raw) {
		return
	}
	if !hasEscapedToken(raw) {
		r.plain(out, from, to)
		return
	}
	text, style, ok := unquote(raw)
	if !ok {
		r.sameLength(out, from, to)
		return
	}
	before := r.changed
	if text = r.text(text, depth+1); r.changed > before {
		out.replace(from, to, style.quote(text))
	}
}
