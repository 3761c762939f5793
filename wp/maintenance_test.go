package wp

import (
	"bytes"
	"testing"
	"time"
)

func TestMaintenanceMarkersAreReadAsWordPressWould(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	ours := string(RenderMaintenance("op_01a", now.Add(time.Hour)))
	for content, want := range map[string]struct {
		kind MarkerKind
		on   bool
	}{
		ours:                                     {MarkerOurs, true},
		string(RenderMaintenance("op_01a", now)): {MarkerOurs, false},
		ours + "\n":                              {MarkerForeign, true},
		"<?php $upgrading = 1800000000; ?>":      {MarkerForeign, true},
		"<?php $upgrading = 1799999401; ?>":      {MarkerForeign, true},
		"<?php $upgrading = 1799999400; ?>":      {MarkerExpired, false}, // ten minutes ago
		"<?php $upgrading = 1799999400; evil();": {MarkerForeign, true},
		"<?php $upgrading = time();":             {MarkerForeign, true},
		"":                                       {MarkerForeign, true},
		"<?php\n$upgrading=17999999999999999999999;\n": {MarkerForeign, true},
	} {
		if m := ParseMaintenance([]byte(content), now); m.Kind != want.kind || m.On(now) != want.on {
			t.Errorf("%q: %s, on %v", content, m.Kind, m.On(now))
		}
	}
}

func FuzzMaintenance(f *testing.F) {
	f.Add([]byte("<?php $upgrading = 1800000000; ?>"))
	f.Add(RenderMaintenance("op_01a", time.Unix(1_800_000_000, 0)))
	f.Fuzz(func(t *testing.T, content []byte) {
		m := ParseMaintenance(content, time.Unix(1_800_000_000, 0))
		if m.Kind == MarkerOurs && !bytes.HasPrefix(content, []byte("<?php\n// WisPanel "+m.Op)) {
			t.Errorf("%q is taken for ours", content)
		}
	})
}
