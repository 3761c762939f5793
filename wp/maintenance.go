package wp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// MaintenanceFile is the marker in the docroot that makes WordPress answer 503 to everybody.
const MaintenanceFile = ".maintenance"

// WordPress counts a marker for ten minutes from the time in it, so that an update that died
// does not close a site for ever (wp_is_maintenance_mode). A time that lies ahead makes it
// count until the time we want, to the second, in WordPress and in WP-CLI alike.
const maintenanceExpiry = 10 * time.Minute

// maxMaintenance is more than anybody writes into a marker, in bytes.
const maxMaintenance = 8 << 10

// MarkerKind is whose a maintenance marker is.
type MarkerKind string

// The kinds of markers.
const (
	MarkerNone    MarkerKind = "none"
	MarkerOurs    MarkerKind = "ours"
	MarkerForeign MarkerKind = "foreign" // WordPress, a plugin or a person wrote it
	MarkerExpired MarkerKind = "expired" // somebody else's, which WordPress takes no notice of any more
)

// MaintenanceMark is what stands in a site's maintenance marker.
type MaintenanceMark struct {
	Kind    MarkerKind
	Op      string    // that set it, if it is ours
	Until   time.Time // when it stops to count; zero when only PHP could tell
	Content []byte
}

// On reports whether visitors are kept out at that time, as far as reading tells.
func (m MaintenanceMark) On(now time.Time) bool {
	return m.Kind == MarkerForeign && m.Until.IsZero() || now.Before(m.Until)
}

// RenderMaintenance is a marker of ours: it counts until a time and names its operation.
func RenderMaintenance(op string, until time.Time) []byte {
	until = until.UTC().Truncate(time.Second)
	return fmt.Appendf(nil, "<?php\n// WisPanel %s: closed for maintenance until %s.\n$upgrading = %d;\n",
		op, until.Format(time.RFC3339), until.Add(-maintenanceExpiry).Unix())
}

// RenderClosed is RenderMaintenance with a door for probes: who sends the secret whose
// ProbeHash this is in the header ProbeHeader is let in.
func RenderClosed(op string, until time.Time, hash string) []byte {
	return fmt.Appendf(RenderMaintenance(op, until), "if ( isset( $_SERVER['%s'] ) && '%s' === hash( 'sha256', (string) $_SERVER['%[1]s'] ) ) {\n\t$upgrading = 0;\n}\n",
		"HTTP_"+strings.ToUpper(strings.ReplaceAll(ProbeHeader, "-", "_")), hash)
}

var (
	ourMarker = regexp.MustCompile(`^<\?php\n// WisPanel (op_[0-9a-f-]{1,64}): closed for maintenance until \S+\.\n\$upgrading = (\d{1,12});\n` +
		`(?:if \( isset\( \$_SERVER\['HTTP_X_WISPANEL_PROBE'\] \) && '[0-9a-f]{64}' === hash\( 'sha256', \(string\) \$_SERVER\['HTTP_X_WISPANEL_PROBE'\] \) \) \{\n\t\$upgrading = 0;\n\}\n)?$`)
	plainMarker = regexp.MustCompile(`^\s*<\?php\s*\$upgrading\s*=\s*(\d{1,12})\s*;\s*(?:\?>\s*)?$`)
)

// ParseMaintenance reads a marker without running it. One of ours that was edited is not ours.
func ParseMaintenance(content []byte, now time.Time) MaintenanceMark {
	m := MaintenanceMark{Kind: MarkerForeign, Content: content}
	stamp := ""
	if found := ourMarker.FindSubmatch(content); found != nil {
		m.Kind, m.Op, stamp = MarkerOurs, string(found[1]), string(found[2])
	} else if found := plainMarker.FindSubmatch(content); found != nil {
		stamp = string(found[1])
	}
	if stamp == "" {
		return m
	}
	seconds, _ := strconv.ParseInt(stamp, 10, 64) // at most 12 digits
	m.Until = time.Unix(seconds, 0).Add(maintenanceExpiry)
	if m.Kind == MarkerForeign && !now.Before(m.Until) {
		m.Kind = MarkerExpired
	}
	return m
}

// Maintenance reads a site's marker.
func (f Files) Maintenance(ctx context.Context, site Site, now time.Time) (MaintenanceMark, error) {
	content, err := f.ReadFile(ctx, site, MaintenanceFile, maxMaintenance)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return MaintenanceMark{Kind: MarkerNone}, nil
	case err != nil:
		return MaintenanceMark{}, fmt.Errorf("reading maintenance marker: %w", err)
	}
	return ParseMaintenance(content, now), nil
}

// MaintenanceActive asks WordPress's own side whether the site is closed.
func (c *CLI) MaintenanceActive(ctx context.Context, site Site) (bool, error) {
	out, err := c.must(ctx, site, command("maintenance-mode", "status").withoutPlugins())
	if err != nil {
		return false, err
	}
	switch said := strings.TrimSpace(string(out)); said {
	case "Maintenance mode is active.":
		return true, nil
	case "Maintenance mode is not active.":
		return false, nil
	default:
		return false, fmt.Errorf("asking for maintenance mode: %w: %q", ErrOutput, cleanField(said))
	}
}
