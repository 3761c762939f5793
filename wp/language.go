package wp

import (
	"context"
	"fmt"
)

// LanguageIsInstalled reports whether the translation files of a locale are there.
func (c *CLI) LanguageIsInstalled(ctx context.Context, site Site, locale string) (bool, error) {
	cmd := languageIsInstalled(locale)
	res, err := c.Run(ctx, site, cmd)
	if err != nil {
		return false, err
	}
	return parseIsInstalled(cmd, res)
}

// LanguageInstall has WordPress fetch the translation from wordpress.org. A node without a
// way there puts the files into wp-content/languages itself instead.
func (c *CLI) LanguageInstall(ctx context.Context, site Site, locale string) error {
	if _, err := c.must(ctx, site, languageInstall(locale)); err != nil {
		return err
	}
	ok, err := c.LanguageIsInstalled(ctx, site, locale)
	if err == nil && !ok {
		err = fmt.Errorf("looking for language %s: %w", locale, ErrNotApplied)
	}
	return err
}

// LanguageActivate switches the site to a locale whose files are there.
func (c *CLI) LanguageActivate(ctx context.Context, site Site, locale string) error {
	if _, err := c.must(ctx, site, languageActivate(locale)); err != nil {
		return err
	}
	got, err := c.OptionString(ctx, site, "WPLANG")
	if err != nil {
		return err
	}
	if got != storedLocale(locale) {
		return fmt.Errorf("switching language to %s: %w: it is %q", locale, ErrNotApplied, cleanField(got))
	}
	return nil
}

// storedLocale is the value of WPLANG: English is written as nothing.
func storedLocale(locale string) string {
	if locale == "en_US" {
		return ""
	}
	return locale
}

func languageIsInstalled(locale string) Command {
	return withLocale(command("language", "core", "is-installed"), locale).withoutPlugins()
}

func languageInstall(locale string) Command {
	return withLocale(command("language", "core", "install"), locale).withoutPlugins()
}

func languageActivate(locale string) Command {
	return withLocale(command("site", "switch-language"), locale).withoutPlugins()
}

func withLocale(cmd Command, locale string) Command {
	if reason := ValidLocale(locale); reason != "" {
		return cmd.fail(fmt.Errorf("locale %q: %w: it %s", cleanField(locale), errValue, reason))
	}
	return cmd.arg(locale)
}
