package wp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wispanel/wptk/wp/golden"
)

// An install from a template fills its database with the rows that `wp core install` would
// have left there, without a start of PHP. Templates are made by the engine of installations
// that it really does, and compared with others; they are kept in memory alone, so that no
// file has to be trusted and none is left of a version that is gone.
// docs/decisions/0085-golden-installs.md has the reasons.

// ErrNotGolden says that an install is none that a template can stand for; its text has the
// reason.
var ErrNotGolden = errors.New("no template can be used")

// goldenKey is what decides which template an install needs.
type goldenKey struct {
	core      string // directory
	languages string
	locale    string
	shape     golden.Shape
}

// goldenAsk is a template that somebody wants.
type goldenAsk struct {
	key  goldenKey
	core CoreTree
}

// goldenKept is a template, or why there is none.
type goldenKept struct {
	template *golden.Template
	rewrites string // .htaccess of the sample
	version  string
	stamp    string // of PHP when it was made
	used     time.Time
	refused  error
}

// A node keeps so many templates of some 200 KB each; the one not used for longest makes
// room. A refusal is looked into again after a while.
const (
	goldenMost  = 24
	goldenAgain = 10 * time.Minute
)

func goldenKeyOf(core CoreTree, address, locale string) (goldenKey, error) {
	shape, err := golden.ShapeOf(address)
	if locale == "en_US" {
		locale = ""
	}
	return goldenKey{core: core.Dir, languages: core.Languages, locale: locale, shape: shape}, err
}

// HasTemplate tells whether there is a template for installs of a WordPress, in a language,
// below addresses such as this one, and has it made in the background if not.
func (e *Engine) HasTemplate(core CoreTree, address, locale string) bool {
	key, err := goldenKeyOf(core, address, locale)
	if err != nil {
		e.log.Warn("asking for a template", "path", core.Dir, "err", err)
		return false
	}
	e.mu.Lock()
	kept, ok := e.golden[key]
	e.mu.Unlock()
	if !ok {
		e.askGolden(key, core)
	}
	return ok && kept.refused == nil
}

// askGolden gives way when too many wait already: the next install asks again.
func (e *Engine) askGolden(key goldenKey, core CoreTree) {
	select {
	case e.wanted <- goldenAsk{key, core}:
	default:
	}
}

// Fill fills an empty database as Install does, from a template. errors.Is ErrEngineCold: there
// is none yet, but there will be soon; ErrNotGolden: install it the other way.
func (e *Engine) Fill(ctx context.Context, core CoreTree, in EngineInstall) (Installed, error) {
	values := golden.Values{Prefix: in.TablePrefix, URL: in.URL, Title: in.Title, Login: in.AdminUser, Email: in.AdminEmail}
	if reason := values.Refuse(); reason != "" {
		return Installed{}, fmt.Errorf("%w: %s", ErrNotGolden, reason)
	}
	kept, err := e.template(ctx, core, in)
	if err != nil {
		return Installed{}, err
	}
	hash := make(chan error, 1)
	go func() {
		var err error
		values.Hash, err = golden.Hash(kept.template.Like(), slashed(in.AdminPassword))
		hash <- err
	}()
	db, err := e.enter(in.ConfigOptions)
	if err != nil {
		return Installed{}, errors.Join(err, <-hash)
	}
	defer db.Close()
	err = errors.Join(e.makeTables(ctx, db, kept.template, values.Prefix), <-hash)
	if err != nil {
		return Installed{}, err
	}
	values.Now = time.Now()
	if err := fillTables(ctx, db, kept.template.Render(values)); err != nil {
		return Installed{}, err
	}
	got := Installed{Version: kept.version, Title: in.Title, Permalinks: PrettyPermalinks, Admins: []string{in.AdminUser},
		Rewrites: kept.template.Text(kept.rewrites, values), Hash: values.Hash}
	return got, readBack(ctx, db, values, &got)
}

// template finds the template of an install.
func (e *Engine) template(ctx context.Context, core CoreTree, in EngineInstall) (goldenKept, error) {
	key, err := goldenKeyOf(core, in.URL, in.Locale)
	if err != nil {
		return goldenKept{}, err
	}
	e.mu.Lock()
	kept, ok := e.golden[key]
	switch {
	case !ok || kept.refused != nil && time.Since(kept.used) > goldenAgain:
		e.mu.Unlock()
		e.askGolden(key, core)
		return goldenKept{}, ErrEngineCold
	case kept.refused != nil:
		e.mu.Unlock()
		return goldenKept{}, fmt.Errorf("%w: %w", ErrNotGolden, kept.refused)
	}
	kept.used = time.Now()
	e.golden[key] = kept
	e.mu.Unlock()
	if now, err := e.stamp(ctx, kept.stamp); err != nil || now != kept.stamp {
		e.mu.Lock()
		delete(e.golden, key)
		e.mu.Unlock()
		e.askGolden(key, core)
		return goldenKept{}, errors.Join(ErrEngineCold, err)
	}
	return kept, nil
}

// prepareGolden makes a template by two real installations: what the first one leaves is the
// template, and with the values of the second it has to give what that leaves.
func (e *Engine) prepareGolden(ctx context.Context, ask goldenAsk) error {
	e.mu.Lock()
	kept, there := e.golden[ask.key]
	e.mu.Unlock()
	if there && (kept.refused == nil || time.Since(kept.used) < goldenAgain) {
		return nil
	}
	if err := e.prepare(ctx, ask.core); err != nil {
		return err
	}
	kept, err := e.sampled(ctx, ask)
	if err != nil && ctx.Err() != nil {
		return err
	}
	kept.used, kept.refused = time.Now(), err
	e.keepGolden(ask.key, kept)
	if err == nil {
		e.log.Info("template prepared", "path", ask.core.Dir, "locale", ask.key.locale, "shape", fmt.Sprintf("%+v", ask.key.shape))
	}
	return err
}

func (e *Engine) sampled(ctx context.Context, ask goldenAsk) (goldenKept, error) {
	stamp, err := e.stamp(ctx, "")
	if err != nil {
		return goldenKept{}, err
	}
	e.mu.Lock()
	warm, kept := e.warm[ask.core.Dir], goldenKept{stamp: stamp}
	e.mu.Unlock()
	for i, values := range []golden.Values{ask.key.shape.Sample(), ask.key.shape.Second()} {
		password := NewPassword(24)
		in := EngineInstall{URL: values.URL, ConfigOptions: ConfigOptions{TablePrefix: values.Prefix},
			InstallOptions: InstallOptions{Title: values.Title, AdminUser: values.Login, AdminEmail: values.Email,
				AdminPassword: password, Locale: ask.key.locale}}
		var made golden.Dump
		got, err := e.inScratch(ctx, in, func(in EngineInstall) (got Installed, err error) {
			if got, err = e.installBy(ctx, warm, ask.core, in); err != nil {
				return got, err
			}
			made, err = e.readDump(ctx, in.ConfigOptions)
			return got, err
		})
		switch {
		case err != nil:
			return kept, fmt.Errorf("installing a sample: %w", err)
		case i == 0:
			kept.version, kept.rewrites = got.Version, got.Rewrites
			kept.template, err = golden.New(values, slashed(password), made)
		default:
			err = kept.template.Check(values, slashed(password), made)
			if had := kept.template.Text(kept.rewrites, values); err == nil && had != got.Rewrites {
				err = fmt.Errorf("comparing with a second installation: rewrite rules are %q, of the template %q", got.Rewrites, had)
			}
		}
		if err != nil {
			return kept, err
		}
	}
	return kept, nil
}

// keepGolden keeps a template and forgets those that have not been used for longest.
func (e *Engine) keepGolden(key goldenKey, kept goldenKept) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.golden[key] = kept
	for len(e.golden) > goldenMost {
		var oldest goldenKey
		first := true
		for k, v := range e.golden {
			if first || v.used.Before(e.golden[oldest].used) {
				oldest, first = k, false
			}
		}
		delete(e.golden, oldest)
	}
}
