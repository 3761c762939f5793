package wp

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Extension is a plugin or a theme of a site.
type Extension struct {
	Slug    string `json:"name"`
	Status  string `json:"status"` // active, active-network, inactive, must-use, dropin, parent
	Version string `json:"version"`
	Title   string `json:"title"`
}

// Active reports whether the site loads it.
func (e Extension) Active() bool { return e.Status == "active" || e.Status == "active-network" }

// PluginList reads the plugins without asking anybody for updates.
func (c *CLI) PluginList(ctx context.Context, site Site) ([]Extension, error) {
	return c.listed(ctx, site, pluginList())
}

// PluginInstall installs a plugin from a zip of ours, which the tenant must be able to
// read, and looks whether it is there under its slug. A plugin that is there is replaced by
// the zip.
func (c *CLI) PluginInstall(ctx context.Context, site Site, slug, zip string, activate bool) error {
	if _, err := c.must(ctx, site, pluginInstall(zip, activate)); err != nil {
		return err
	}
	return c.confirm(ctx, site, pluginList(), slug, activate)
}

// PluginActivate activates plugins that are there.
func (c *CLI) PluginActivate(ctx context.Context, site Site, slugs ...string) error {
	if _, err := c.must(ctx, site, pluginActivate(slugs)); err != nil {
		return err
	}
	return c.confirmAll(ctx, site, pluginList(), slugs, true)
}

// Bare has a command run without the site's plugins and theme, which may be what is broken.
// Their hooks do not run then.
type Bare bool

func (b Bare) apply(cmd Command) Command {
	if b {
		return cmd.withoutPlugins()
	}
	return cmd
}

// activationTime bounds one change: a plugin that takes longer keeps its visitors waiting too.
const activationTime = 90 * time.Second

// SetPluginActive activates a plugin, or deactivates it, by its file. That all went well is
// for Extensions to tell: the code of the plugin may have ended the command early.
func (c *CLI) SetPluginActive(ctx context.Context, site Site, file string, on, network bool, bare Bare) error {
	_, err := c.must(ctx, site, bare.apply(pluginSwitch(file, on, network)))
	return err
}

func pluginSwitch(file string, on, network bool) Command {
	cmd := command("plugin", "deactivate")
	if on {
		cmd = command("plugin", "activate")
	}
	if cmd = cmd.arg(file).within(activationTime); network {
		cmd = cmd.flag("network")
	}
	return cmd
}

// UninstallPlugin runs what a plugin does at the end of its life, and leaves its files.
func (c *CLI) UninstallPlugin(ctx context.Context, site Site, file string) error {
	_, err := c.must(ctx, site, pluginUninstall(file))
	return err
}

func pluginUninstall(file string) Command {
	return command("plugin", "uninstall").arg(file).flag("skip-delete").within(activationTime)
}

// UnpackPlugin installs a plugin from a zip of ours over what is there, and leaves its
// activation as it is. Its translations and other updates are not asked for.
func (c *CLI) UnpackPlugin(ctx context.Context, site Site, zip string, bare Bare) error {
	_, err := c.must(ctx, site, bare.apply(pluginInstall(zip, false)).loading("extensions.php"))
	return err
}

func (c *CLI) listed(ctx context.Context, site Site, cmd Command) ([]Extension, error) {
	out, err := c.must(ctx, site, cmd)
	if err != nil {
		return nil, err
	}
	list, err := parseExtensions(out)
	if err != nil {
		return nil, fmt.Errorf("reading wp %s: %w", cmd.Name(), err)
	}
	return list, nil
}

func (c *CLI) confirm(ctx context.Context, site Site, list Command, slug string, active bool) error {
	return c.confirmAll(ctx, site, list, []string{slug}, active)
}

func (c *CLI) confirmAll(ctx context.Context, site Site, list Command, slugs []string, active bool) error {
	have, err := c.listed(ctx, site, list)
	if err != nil {
		return err
	}
	for _, slug := range slugs {
		i := slices.IndexFunc(have, func(e Extension) bool { return e.Slug == slug })
		if i < 0 {
			return fmt.Errorf("looking for %s: %w: it is not listed", cleanField(slug), ErrNotApplied)
		}
		if active && !have[i].Active() {
			return fmt.Errorf("looking for %s: %w: it is %s", cleanField(slug), ErrNotApplied, have[i].Status)
		}
	}
	return nil
}

func pluginList() Command {
	return command("plugin", "list").
		fixed("format", "json").
		fixed("fields", "name,status,version,title").
		flag("skip-update-check").
		withoutPlugins().forParser()
}

func pluginInstall(zip string, activate bool) Command {
	cmd := command("plugin", "install").file(zip).flag("force")
	if activate {
		cmd = cmd.flag("activate")
	}
	return cmd
}

func pluginActivate(slugs []string) Command {
	return withSlugs(command("plugin", "activate"), slugs)
}

func withSlugs(cmd Command, slugs []string) Command {
	if len(slugs) == 0 {
		return cmd.fail(fmt.Errorf("argument: %w: no slug given", errValue))
	}
	for _, slug := range slugs {
		if reason := ValidSlug(slug); reason != "" {
			return cmd.fail(fmt.Errorf("slug %q: %w: it %s", cleanField(slug), errValue, reason))
		}
		cmd = cmd.arg(slug)
	}
	return cmd
}

// parseExtensions reads what plugin list and theme list print.
func parseExtensions(out []byte) ([]Extension, error) {
	var list []Extension
	if err := parseJSON(out, &list); err != nil {
		return nil, err
	}
	for i, e := range list {
		list[i] = Extension{
			Slug:    cleanField(e.Slug),
			Status:  cleanField(e.Status),
			Version: cleanField(e.Version),
			Title:   cleanField(e.Title),
		}
	}
	return list, nil
}
