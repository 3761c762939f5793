package wp

import (
	"context"
	"fmt"
)

// XMLRPCLimit is whether a site's XML-RPC takes one call at a time, and no pingbacks.
type XMLRPCLimit struct {
	Limited bool `json:"limited"`
	There   bool `json:"there"`     // the must-use plugin is in place
	Dir     bool `json:"directory"` // the site has a directory of must-use plugins
	Off     bool `json:"off"`       // wp-config.php suspends the limit (WPTK_LIMIT_XMLRPC)
}

// XMLRPC reads it.
func (c *CLI) XMLRPC(ctx context.Context, site Site) (XMLRPCLimit, error) {
	var now XMLRPCLimit
	err := c.ask(ctx, site, limitXMLRPC("look", false), &now)
	return now, err
}

// LimitXMLRPC takes bundles of calls and pingbacks out of a site's XML-RPC, by the must-use
// plugin. Errors: an *AccessError with what is wrong with the plugin's file.
func (c *CLI) LimitXMLRPC(ctx context.Context, site Site) error {
	var now XMLRPCLimit
	err := c.ask(ctx, site, limitXMLRPC("limit", false), &now)
	if err == nil && (!now.Limited || !now.There) {
		err = fmt.Errorf("limiting XML-RPC: %w", ErrNotApplied)
	}
	return err
}

// FreeXMLRPC puts them back, and removes the plugin when nothing else needs it. With dropDir
// the directory of must-use plugins goes as well, if it is empty.
func (c *CLI) FreeXMLRPC(ctx context.Context, site Site, dropDir bool) error {
	var now XMLRPCLimit
	err := c.ask(ctx, site, limitXMLRPC("free", dropDir), &now)
	if err == nil && now.Limited {
		err = fmt.Errorf("freeing XML-RPC: %w", ErrNotApplied)
	}
	return err
}

func limitXMLRPC(do string, dropDir bool) Command {
	plugin := ""
	if do == "limit" {
		plugin = muPlugin
	}
	return access("limit-xmlrpc", struct {
		Do      string `json:"do"`
		DropDir bool   `json:"drop_directory"`
		Plugin  string `json:"plugin"`
	}{do, dropDir, plugin})
}
