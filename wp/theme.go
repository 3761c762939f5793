package wp

import "context"

// ThemeList reads the themes without asking anybody for updates.
func (c *CLI) ThemeList(ctx context.Context, site Site) ([]Extension, error) {
	return c.listed(ctx, site, themeList())
}

// ThemeInstall installs a theme from a zip of ours, as PluginInstall does.
func (c *CLI) ThemeInstall(ctx context.Context, site Site, slug, zip string, activate bool) error {
	if _, err := c.must(ctx, site, themeInstall(zip, activate)); err != nil {
		return err
	}
	return c.confirm(ctx, site, themeList(), slug, activate)
}

// ThemeActivate switches to a theme that is there.
func (c *CLI) ThemeActivate(ctx context.Context, site Site, slug string) error {
	if _, err := c.must(ctx, site, themeActivate(slug)); err != nil {
		return err
	}
	return c.confirm(ctx, site, themeList(), slug, true)
}

// SwitchTheme is ThemeActivate without the second look.
func (c *CLI) SwitchTheme(ctx context.Context, site Site, slug string, bare Bare) error {
	_, err := c.must(ctx, site, bare.apply(themeActivate(slug)).within(activationTime))
	return err
}

// UnpackTheme is UnpackPlugin for themes.
func (c *CLI) UnpackTheme(ctx context.Context, site Site, zip string, bare Bare) error {
	_, err := c.must(ctx, site, bare.apply(themeInstall(zip, false)).loading("extensions.php"))
	return err
}

func themeList() Command {
	return command("theme", "list").
		fixed("format", "json").
		fixed("fields", "name,status,version,title").
		flag("skip-update-check").
		withoutPlugins().forParser()
}

func themeInstall(zip string, activate bool) Command {
	cmd := command("theme", "install").file(zip).flag("force")
	if activate {
		cmd = cmd.flag("activate")
	}
	return cmd
}

func themeActivate(slug string) Command {
	return withSlugs(command("theme", "activate"), []string{slug})
}
