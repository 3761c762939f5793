package wp

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

// Info says which programs answer for WP-CLI on this node.
type Info struct {
	PHP   string `json:"php_version"`
	WPCLI string `json:"wp_cli_version"`
}

// nobody runs what belongs to no site.
const nobody = 65534

// infoTime is generous: it is the first start of PHP on a node, caches cold.
const infoTime = 20 * time.Second

// Info asks PHP and WP-CLI for their versions. No site's code is loaded; it runs
// as nobody all the same, since WP-CLI dislikes root. The error means that the
// node cannot run WP-CLI at all.
func (c *CLI) Info(ctx context.Context) (Info, error) {
	ctx, cancel := context.WithTimeout(ctx, infoTime)
	defer cancel()
	var who proc.Identity
	if os.Geteuid() == 0 {
		who = proc.Identity{UID: nobody, GID: nobody, Name: "nobody"}
	}
	stdout, stderr := proc.Capped(maxStderr), proc.Capped(maxStderr)
	exit, err := proc.Run(ctx, proc.Spec{
		Path: c.php, Args: append(append([]string{}, phpFlags...), c.phar, "cli", "info", "--format=json"),
		Env: c.env(Site{}, Command{}, c.dirs.empty, ""), Dir: c.dirs.empty,
		Stdout: stdout, Stderr: stderr, As: who, Limits: c.limits,
	})
	if err != nil {
		return Info{}, fmt.Errorf("running wp cli info: %w", err)
	}
	var info Info
	if err := json.Unmarshal(stdout.Bytes(), &info); err != nil || exit.Code != 0 {
		return Info{}, fmt.Errorf("running wp cli info: exit %d: %s", exit.Code, proc.CleanText(stderr.Bytes()))
	}
	return info, nil
}

// Programs are the files that Info asks: PHP and WP-CLI.
func (c *CLI) Programs() (php, phar string) { return c.php, c.phar }
