package wp

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// 4,200 random values, nested and of all types, are held to what PHP's serialize() makes of
// the same values with their texts replaced.
func TestSerializedValuesComeOutAsPHPWouldWriteThem(t *testing.T) {
	t.Parallel()
	seed := fmt.Sprint(rand.Uint32())
	out, err := exec.CommandContext(t.Context(), "php", "-d", "zend.assertions=-1",
		filepath.Join("testdata", "rewriter-test.php"), filepath.Join("php", "rewriter.php"), seed).CombinedOutput()
	if err != nil || string(out) != "ok" {
		t.Errorf("seed %s: %v\n%s", seed, err, out)
	}
}

func TestCountsOfReplacementsAreRead(t *testing.T) {
	t.Parallel()
	got, err := parseReplaced([]byte(`{"counts":{"wp_posts":{"post_content":3,"post_title":1},"wp_b":{"x":1}},
		"skipped":{"wp_odd\u001b[31m":"it has no primary key"},"failed":{"wp_b":2},"passes":2,"left":0}`))
	want := Replaced{
		Cells: 5, Failed: 2, Passes: 2,
		Tables: []ReplacedTable{
			{Table: "wp_b", Cells: 1, Columns: map[string]int{"x": 1}, Failed: 2},
			{Table: "wp_posts", Cells: 4, Columns: map[string]int{"post_content": 3, "post_title": 1}},
		},
		Skipped: []SkippedTable{{"wp_odd", "it has no primary key"}},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	if got, err := parseReplaced([]byte(`{"counts":{},"skipped":{},"failed":{},"passes":0,"left":0}`)); err != nil || got.Tables == nil || got.Cells != 0 {
		t.Errorf("%+v %v", got, err)
	}
	var no *RefusedError
	if _, err := parseReplaced([]byte(`{"invalid":{"field":"search","reason":"is no regular expression"}}`)); !errors.As(err, &no) || no.Field != "search" {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{``, `[]`, `{"counts":[1]}`, `{"counts":{}} x`} {
		if _, err := parseReplaced([]byte(bad)); !errors.Is(err, ErrOutput) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
