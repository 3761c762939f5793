package rewrite

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"
)

//go:embed testdata/values.php
var valuesPHP string

// node is a value for PHP to build: see testdata/values.php.
type node map[string]any

// texts have hosts and directories at every kind of edge; %s is the host.
var texts = []string{
	"https://%s", "http://%s/a?b=1&c=%s", "//%s/x", "%s", "visit %s.", "me@%s", "not%s", "<a href=\"https://%s/\">it's</a>", "łódź https://%s/é 😀", "a\nhttps://%s\r\n\t\x00\x01",
	`C:\\https://%s\`, "", "plain", `s:5:"x";`, `{"a":1}`, `"quoted" https://%s "`, "%s;}", `";s:4:"https://%s";`, "a:1:{https://%s", "日本https://%s日本", "%%2F%%2F%s", "\\n%s",
}

// value makes a random value; budget bounds its size, and inside is how often it is in JSON
// that is in JSON: three times at most, and there are no objects of classes in there.
func value(r *rand.Rand, budget, inside int) node {
	if budget <= 0 {
		return text(r)
	}
	switch n := r.IntN(14); {
	case n < 3:
		return text(r)
	case n == 3:
		return node{"k": "null"}
	case n == 4:
		return node{"k": "bool", "v": r.IntN(2) == 0}
	case n == 5:
		return node{"k": "int", "v": r.IntN(1_000_000) - 500_000}
	case n == 6:
		return node{"k": "float", "v": r.NormFloat64() * 1e9}
	case n < 9:
		return node{"k": "list", "v": values(r, budget, inside)}
	case n == 9:
		pairs := []any{}
		for i, v := range values(r, budget, inside) {
			key := text(r)
			key["v"] = fmt.Sprintf("%s #%d", key["v"], i)
			pairs = append(pairs, []any{key, v})
		}
		return node{"k": "map", "v": pairs}
	case n == 10 && inside < 3:
		return node{"k": "json", "flags": r.IntN(16), "v": value(r, budget-2, inside+1)}
	case n == 11:
		return node{"k": "ser", "v": value(r, budget-2, inside)}
	case n == 12 && inside == 0:
		return node{"k": "object", "class": r.IntN(3), "v": values(r, budget, inside)}
	case n == 13 && inside == 0:
		return node{"k": "twice", "v": value(r, budget-2, inside)}
	}
	return text(r)
}

func values(r *rand.Rand, budget, inside int) []any {
	out := []any{}
	for range r.IntN(4) {
		out = append(out, value(r, budget-2, inside))
	}
	return out
}

func text(r *rand.Rand) node {
	return node{"k": "text", "v": texts[r.IntN(len(texts))]}
}

// PHP builds the same value twice, with the old host in it and with the new one. What it
// serializes for the one must become, byte for byte, what it serializes for the other.
func TestSerializedValuesBecomeWhatPHPMakesOfTheNewAddress(t *testing.T) {
	t.Parallel()
	const cases = 4000
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	var in bytes.Buffer
	for range cases {
		root := node{"k": "ser", "v": value(r, 2+r.IntN(10), 0)}
		if r.IntN(2) == 0 {
			root = node{"k": "json", "flags": r.IntN(16), "v": node{"k": "ser", "v": value(r, 2+r.IntN(10), 1)}}
		}
		line, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(line, '\n'))
	}
	cmd := exec.CommandContext(t.Context(), "php", "-n", "-d", "memory_limit=512M", "-r", strings.TrimPrefix(valuesPHP, "<?php"))
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("running php: %v", err)
	}
	moved := New(SiteRules(Place{URL: "https://old.test"}, Place{URL: "https://a-longer.example.org"}))
	n, rewritten, nested := 0, 0, 0
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 64<<20)
	for ; lines.Scan(); n++ {
		before, after, _ := strings.Cut(lines.Text(), " ")
		was, want := unbase64(t, before), unbase64(t, after)
		got, changed := moved.Text(was)
		if changed > 0 {
			rewritten++
		}
		if bytes.Contains(was, []byte(`:\"`)) {
			nested++
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d, case %d:\n%q\nbecame\n%q\nwant\n%q", seed, n, was, got, want)
		}
	}
	if n != cases || rewritten < cases/4 || nested < cases/8 {
		t.Errorf("%d cases, %d rewritten, %d with serialized values in JSON", n, rewritten, nested)
	}
}

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	out, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
