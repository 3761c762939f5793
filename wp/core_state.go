package wp

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"time"
)

// CoreState is how the files and tables of WordPress itself stand. The texts are the tenant's
// word, cleaned.
type CoreState struct {
	Version         string
	DBVersion       int
	DBVersionWanted int // what the files want the tables to be
	Multisite       bool
	Locale          string
	Languages       []string // whose translations are there, "de_DE"
	Content         string   // absolute, as this node writes paths; "" when it is not inside the domain's directory
	LanguageDir     string   // the same
}

// printedCore is what core.php prints.
type printedCore struct {
	Version         string   `json:"version"`
	DBVersion       int      `json:"db_version"`
	DBVersionWanted int      `json:"db_version_wanted"`
	Multisite       bool     `json:"multisite"`
	Locale          string   `json:"locale"`
	Languages       []string `json:"languages"`
	Root            string   `json:"root"`
	Content         string   `json:"content"`
	LanguageDir     string   `json:"language_dir"`
}

// CoreState starts WordPress without the site's plugins and theme.
func (c *CLI) CoreState(ctx context.Context, site Site) (CoreState, error) {
	out, err := c.must(ctx, site, coreState())
	if err != nil {
		return CoreState{}, err
	}
	var p printedCore
	if err := parseJSON(out, &p); err != nil {
		return CoreState{}, fmt.Errorf("reading state of WordPress: %w", err)
	}
	cleanTexts(reflect.ValueOf(&p).Elem())
	if p.Version == "" {
		return CoreState{}, fmt.Errorf("reading state of WordPress: %w: no version", ErrOutput)
	}
	return CoreState{
		Version: p.Version, DBVersion: p.DBVersion, DBVersionWanted: p.DBVersionWanted, Multisite: p.Multisite,
		Locale: p.Locale, Languages: p.Languages,
		Content: insideHome(site, p.Root, p.Content), LanguageDir: insideHome(site, p.Root, p.LanguageDir),
	}, nil
}

func coreState() Command {
	return command("wptk", "core").loading("core.php").withoutPlugins().forParser().within(factsTime)
}

// TablesUpgrade is what came of UpgradeTables.
type TablesUpgrade struct {
	Sites     int   `json:"sites"` // of the network; 1 without one
	Upgraded  int   `json:"upgraded"`
	Behind    []int `json:"behind"` // sites that still wait
	DBVersion int   `json:"db_version"`
}

// UpgradeTables brings the tables of all sites of an install to the version of its files.
// ErrNotApplied when some are not there afterwards. It may be done again.
func (c *CLI) UpgradeTables(ctx context.Context, site Site) (TablesUpgrade, error) {
	out, err := c.must(ctx, site, upgradeTables())
	if err != nil {
		return TablesUpgrade{}, err
	}
	var u TablesUpgrade
	if err := parseJSON(out, &u); err != nil {
		return TablesUpgrade{}, fmt.Errorf("reading result of the upgrade: %w", err)
	}
	if len(u.Behind) > 0 || u.Sites == 0 {
		return u, fmt.Errorf("upgrading tables: %w: %d of %d sites", ErrNotApplied, len(u.Behind), u.Sites)
	}
	return u, nil
}

func upgradeTables() Command {
	return command("wptk", "upgrade-tables").loading("core.php").withoutPlugins().forParser().within(15 * time.Minute)
}

// Needs is what a WordPress asks of its node.
type Needs struct {
	PHP   string // "7.4"
	MySQL string
}

// Needs reads it from the core's own version.php.
func (t CoreTree) Needs() (Needs, error) {
	src, err := os.ReadFile(filepath.Join(t.Dir, versionFile))
	if err != nil {
		return Needs{}, fmt.Errorf("reading version.php: %w", err)
	}
	return Needs{PHP: versionText(src, "required_php_version"), MySQL: versionText(src, "required_mysql_version")}, nil
}

// Gone are the files beside wp-admin and wp-includes that a core had and another has not.
func (s Sums) Gone(other Sums) []string {
	var gone []string
	for name := range s {
		if filepath.Dir(name) == "." && other[name] == "" && !dispensable[name] && isCoreEntry(name) {
			gone = append(gone, name)
		}
	}
	return gone
}

// LocalPackage is the language of a translated package, by its version.php: "de_DE", or "".
func LocalPackage(versionPHP []byte) string {
	locale := versionText(versionPHP, "wp_local_package")
	if ValidLocale(locale) != "" {
		return ""
	}
	return locale
}

// WithLocalPackage is version.php as a translated package has it.
func WithLocalPackage(versionPHP []byte, locale string) []byte {
	return fmt.Appendf(versionPHP[:len(versionPHP):len(versionPHP)], "\n$wp_local_package = '%s';\n", locale)
}

// versionText is the text that version.php gives to a variable.
func versionText(src []byte, variable string) string {
	tokens, err := lexPHP(string(src))
	if err != nil {
		return ""
	}
	for i := 0; i+2 < len(tokens); i++ {
		if tokens[i].kind == phpVar && tokens[i].text == variable && tokens[i+1].is("=") && tokens[i+2].kind == phpText {
			return tokens[i+2].text
		}
	}
	return ""
}
