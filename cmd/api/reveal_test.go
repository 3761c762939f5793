package main

import (
	"testing"

	"github.com/wispanel/wptk/tasks"
)

func TestGeneratedSecretIsShownWhereItsKindSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ result, want string }{
		"a field of its own": {`{"id":"wp_1"}`, `{"id":"wp_1","admin_password":"s3cret"}`},
		"no result":          {``, `{"admin_password":"s3cret"}`},
		"in place of a mark": {`{"admin_password":"x` + tasks.SecretMark + `y","title":"` + tasks.SecretMark + `"}`,
			`{"admin_password":"xs3crety","title":"{secret}"}`},
	} {
		if got := withSecret(object(c.result), "install", "s3cret"); string(got) != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if got := withSecret(object(`{}`), "no.such.kind", "s3cret"); string(got) != `{}` {
		t.Errorf("a kind that generates nothing shows %s", got)
	}
}
