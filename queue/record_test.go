package queue

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/wispanel/wptk/deploy/devstack"
	"pgregory.net/rapid"
)

var discard = slog.New(slog.DiscardHandler)

// devstackRedis is the URL of a server of the test's own.
func devstackRedis(t *testing.T, extra ...string) string {
	t.Helper()
	return devstack.RedisT(t, devstack.RedisOptions{Extra: extra}).URL(0)
}

func benchStore(b *testing.B) *Store {
	b.Helper()
	s, err := Open(b.Context(), Options{URL: devstack.SharedRedis(b), Prefix: "bench:"}, discard)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// packed is what read.lua answers.
func packed(id, position string, values map[string]string, fields []string) string {
	parts := []string{id, position}
	for _, f := range fields {
		parts = append(parts, values[f])
	}
	sizes := make([]string, len(parts))
	for i, p := range parts {
		sizes[i] = fmt.Sprint(len(p))
	}
	return strings.Join(sizes, ",") + ";" + strings.Join(parts, "")
}

func TestDecodedRecordHasWhatWasPacked(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		values := map[string]string{
			"state": "running", "site": text.Draw(t, "site"), "message": text.Draw(t, "message"),
			"step": text.Draw(t, "step"), "seq": fmt.Sprint(rapid.Int64().Draw(t, "seq")),
			"payload": text.Draw(t, "payload"), "cancel": "1",
		}
		op, err := decodeRecord(packed("op_1", "3", values, allFields))
		if err != nil {
			t.Fatal(err)
		}
		if op.Message != values["message"] || op.Step != values["step"] || op.Site.ID != values["site"] ||
			fmt.Sprint(op.Seq) != values["seq"] || string(op.Payload) != values["payload"] || !op.CancelRequested || op.Position != 3 {
			t.Fatalf("%+v is not %+v", op, values)
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(packed("op_1", "0", map[string]string{"state": "queued"}, allFields))
	f.Add(packed("op_1", "0", map[string]string{"error": `{"code":"x"}`}, progressFields))
	f.Add("1,2;a")
	f.Add(";")
	f.Add("18446744073709551615;x")
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := decodeRecord(s); err == nil && !strings.Contains(s, ";") {
			t.Errorf("decoded %q", s)
		}
	})
}
