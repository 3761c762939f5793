package wp

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/wispanel/wptk/wp/proc"
)

// A whole site changes by exchange: the new docroot is staged beside the old one, complete and
// on the disk, and one rename has them change places (renameat2 with RENAME_EXCHANGE). Where
// the docroot has to stay the directory that it is (the domain's own, one with other installs
// below it, one of a group that the account may not give), its entries change places one by
// one, behind a sign that the site is being updated. What changed places with what is written
// beside first, so that a crash is made good by doing it again, or taken back.

// ExchangeGround is what an exchange of a docroot will meet.
type ExchangeGround struct {
	// Nested are other installs below the docroot. They stay where they are.
	Nested []string `json:"nested,omitempty"`
	// Mounts are directories below the docroot, or "." for itself, on which another file
	// system is mounted: there can be no exchange.
	Mounts []string `json:"mounts,omitempty"`
	// Above: the configuration is one directory up. Shared: another install reads it, too.
	Above  bool `json:"above,omitempty"`
	Shared bool `json:"shared,omitempty"`
	// Free is what the account may still write there, in bytes, its quota not looked at.
	Free int64 `json:"free"`
}

// Exchanged is how a staged tree took the place of the docroot.
type Exchanged struct {
	// Whole: in one rename. Else Entries changed places one by one.
	Whole   bool `json:"whole"`
	Entries int  `json:"entries,omitempty"`
	// Kept are the nested installs that stayed where they are.
	Kept []string `json:"kept,omitempty"`
}

// ExchangeGround looks at a docroot without changing anything.
func (f Files) ExchangeGround(ctx context.Context, site Site) (ExchangeGround, error) {
	f.Timeout = belongingTime
	var g ExchangeGround
	if err := f.exchangeCall(ctx, site, "wp.exchange.ground", exchangeRequest{Stage: StageName("look")}, &g); err != nil {
		return ExchangeGround{}, fmt.Errorf("looking at docroot: %w", err)
	}
	cleanNames(g.Nested)
	cleanNames(g.Mounts)
	g.Free = max(g.Free, 0)
	return g, nil
}

// OpenStage makes the directory for a new docroot, empty and closed to everybody but the
// account, which has what new files inherit (group, access lists) from the present docroot.
// What was in it is removed.
func (f Files) OpenStage(ctx context.Context, site Site, stage string) error {
	return f.exchangeCall(ctx, site, "wp.exchange.open", exchangeRequest{Stage: stage}, nil)
}

// SealStage makes a filled stage ready to be exchanged: it gets the mode of the present
// docroot and the sign of maintenance that is there now, if any, and is on the disk.
func (f Files) SealStage(ctx context.Context, site Site, stage string) error {
	return f.exchangeCall(ctx, site, "wp.exchange.seal", exchangeRequest{Stage: stage}, nil)
}

// ExchangeDocroot puts the tree of a sealed stage in the place of the docroot, and what was
// there into the stage. Done again after a crash it goes on; done again after success it does
// nothing. errors.Is fs.ErrExist: somebody changes the docroot at this very moment, or it is a
// mount point.
func (f Files) ExchangeDocroot(ctx context.Context, site Site, stage string) (Exchanged, error) {
	var out Exchanged
	if err := f.exchangeCall(ctx, site, "wp.exchange", exchangeRequest{Stage: stage}, &out); err != nil {
		return Exchanged{}, fmt.Errorf("exchanging docroot: %w", err)
	}
	cleanNames(out.Kept)
	return out, nil
}

// ExchangePaths is ExchangeDocroot for some files and directories only, given relative to the
// docroot. One that the stage has not is taken away. errors.Is fs.ErrInvalid: a path that
// leads over a link, or into another install.
func (f Files) ExchangePaths(ctx context.Context, site Site, stage string, paths []string) (Exchanged, error) {
	for _, p := range paths {
		if reason := ExchangeablePath(p); reason != "" {
			return Exchanged{}, fmt.Errorf("exchanging paths: %q %s", p, reason)
		}
	}
	var out Exchanged
	if err := f.exchangeCall(ctx, site, "wp.exchange", exchangeRequest{Stage: stage, Paths: paths}, &out); err != nil {
		return Exchanged{}, fmt.Errorf("exchanging paths: %w", err)
	}
	return out, nil
}

// ExchangeBack undoes ExchangeDocroot and ExchangePaths. Where they did nothing, it does
// nothing.
func (f Files) ExchangeBack(ctx context.Context, site Site, stage string) error {
	if err := f.exchangeCall(ctx, site, "wp.exchange.back", exchangeRequest{Stage: stage}, nil); err != nil {
		return fmt.Errorf("exchanging back: %w", err)
	}
	return nil
}

// DropStaged removes a stage that was not exchanged, or was exchanged back. While the old
// files are in it, it is an error.
func (f Files) DropStaged(ctx context.Context, site Site, stage string) error {
	return f.exchangeCall(ctx, site, "wp.exchange.drop", exchangeRequest{Stage: stage}, nil)
}

// DropExchanged removes the old files after an exchange, for good. errors.Is
// fs.ErrPermission: some of them are not the account's, and are left.
func (f Files) DropExchanged(ctx context.Context, site Site, stage string) error {
	return f.exchangeCall(ctx, site, "wp.exchange.drop", exchangeRequest{Stage: stage, Sure: true}, nil)
}

// RaiseConfig moves wp-config.php from the docroot to the directory above, in the place of
// the one that is there: an exchange brings it in the docroot, where WordPress looks first, so
// that one rename changes both. Without one in the docroot it does nothing.
func (f Files) RaiseConfig(ctx context.Context, site Site) error {
	return f.exchangeCall(ctx, site, "wp.exchange.raise", exchangeRequest{Stage: StageName("raise")}, nil)
}

// ExchangeablePath says what is wrong with a path of ExchangePaths; "" is nothing.
func ExchangeablePath(p string) string {
	top, _, _ := strings.Cut(p, "/")
	switch {
	case p == "" || p == ".":
		return "must name something below the docroot"
	case len(p) > 1024 || strings.ContainsFunc(p, isControl):
		return "has control characters or is longer than 1024 bytes"
	case !filepath.IsLocal(p) || filepath.Clean(p) != p:
		return "must be a clean path relative to the docroot"
	case strings.HasPrefix(top, stagePrefix) || p == MaintenanceFile || p == configName:
		return "is not restored alone"
	}
	return ""
}

// exchangeRequest is what crosses to the child.
type exchangeRequest struct {
	Home   string   `json:"home"`
	Target string   `json:"target"` // the docroot, relative to Home
	Stage  string   `json:"stage"`
	Paths  []string `json:"paths,omitempty"`
	Sure   bool     `json:"sure,omitempty"`
	Calm   Calm     `json:"calm"`
}

func (f Files) exchangeCall(ctx context.Context, site Site, name string, req exchangeRequest, out any) error {
	if err := site.check(); err != nil {
		return err
	}
	if !stagePattern.MatchString(req.Stage + exchangeSuffix) {
		return fmt.Errorf("%s: %q is no stage name", name, req.Stage)
	}
	docroot, err := filepath.Rel(site.Home, site.Docroot)
	if err != nil {
		return fmt.Errorf("%s: finding docroot: %w", name, err)
	}
	req.Home, req.Target, req.Calm = site.Home, docroot, f.Calm
	return proc.Call(ctx, site.User, f.options(ctx, nil), name, req, out)
}

func cleanNames(names []string) {
	for i, name := range names {
		names[i] = cleanLine(name, 300)
	}
}
