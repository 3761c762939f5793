package wp

import (
	"context"
	"fmt"
	"strings"
)

// PrettyPermalinks is the structure that WordPress itself chooses when it finds that pretty
// permalinks work. CoreInstall sets it.
const PrettyPermalinks = "/%year%/%monthnum%/%day%/%postname%/"

// RewriteStructure sets the permalink structure and writes the rules to .htaccess too, for
// the web servers that read it.
func (c *CLI) RewriteStructure(ctx context.Context, site Site, structure string) error {
	if _, err := c.must(ctx, site, rewriteStructure(structure)); err != nil {
		return err
	}
	got, err := c.OptionString(ctx, site, "permalink_structure")
	if err != nil {
		return err
	}
	if got != structure {
		return fmt.Errorf("setting permalinks: %w: they are %q", ErrNotApplied, cleanField(got))
	}
	return nil
}

func rewriteStructure(structure string) Command {
	cmd := command("rewrite", "structure")
	if !strings.HasPrefix(structure, "/") {
		return cmd.fail(fmt.Errorf("structure: %w: it must begin with a slash", errValue))
	}
	return cmd.arg(structure).flag("hard")
}
