package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/wispanel/wptk/tasks"
)

func TestPluginIsOneSlugOrAList(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	site := k.putSite("alice", "blog.com", "public_html")
	for body, want := range map[string]tasks.Names{
		`"plugin":"wordfence"`:                             {"wordfence"},
		`"plugin":["akismet@5.3","hello-dolly/hello.php"]`: {"akismet@5.3", "hello-dolly/hello.php"},
	} {
		a := k.call(k.alice, "POST", "/api/v1/wordpress/plugins/install", `{"id":"`+site.ID+`",`+body+`}`)
		if a.status != http.StatusAccepted || a.text(t, "type") != "plugin.install" {
			t.Fatalf("%s: %d %s", body, a.status, a.raw)
		}
		op, err := k.client.Get(t.Context(), a.text(t, "operation_id"))
		must(t, err)
		task, _, err := tasks.Decode(op.Kind, op.Payload)
		must(t, err)
		if got := task.(*tasks.PluginInstall).Plugin; !slices.Equal(got, want) {
			t.Errorf("%s became %q", body, got)
		}
	}
}

func TestPluginNamesAreRefusedInWords(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	site := k.putSite("alice", "blog.com", "public_html")
	for _, path := range []string{"plugins/install", "plugins/activate", "plugins/deactivate", "plugins/update", "plugins/delete"} {
		for _, body := range []string{
			`"plugin":""`, `"plugin":[]`, `"plugin":["akismet","akismet"]`, `"plugin":"--require=/x.php"`, `"plugin":"../../x"`,
			`"plugin":"https://evil.example/x.zip"`, `"plugin":7`, `"plugin":[7]`, `"plugin":{}`, `"plugin":null`, `"plugin":"akismet","theme":"x"`, `"on_busy":"queue"`,
		} {
			a := k.call(k.alice, "POST", "/api/v1/wordpress/"+path, `{"id":"`+site.ID+`",`+body+`}`)
			if a.status != http.StatusBadRequest || a.text(t, "code") != "VALIDATION_ERROR" || !strings.Contains(a.raw, `"field"`) {
				t.Errorf("%s %s: %d %s", path, body, a.status, a.raw)
			}
		}
	}
}
