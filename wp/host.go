package wp

import "strings"

// Host is a hosting node: the tools that operations on its installs work with, and what
// they need to know of it. It does not change while the worker runs.
type Host struct {
	Node     string
	CLI      *CLI
	DB       *Admin
	Packages *Packages
	Engine   *Engine // nil: every install runs WP-CLI in its own files
	// InstallMode is how sites are installed that do not say so themselves; empty: by WP-CLI.
	InstallMode string
	Files       Files
	DBHost      string // DB_HOST of new installs, as PHP reaches the server: "localhost"
	SiteURL     string // address of a new install: "https://{domain}"
	Layout      Layout
	Accounts    *Accounts // nil: none are made here, and none were
	Archives    string    // where final archives of deleted installs are kept, private to the worker
	Crontab     string    // crontab(1); looked for when empty, and a node may have none
	// ObjectCache is what cache.enable gives installs; nil: there is none to offer.
	ObjectCache *ObjectCache
	// PHPSocket is where the web server's PHP of an account listens (FastCGI), with {account}
	// and {domain} in it; empty: nobody can ask it.
	PHPSocket string

	// Backups is where backups are kept; nil: the node keeps none.
	Backups    BackupStore
	BackupKeep BackupKeep

	Snapshots *SnapshotStore // of updates that may have to be taken back

	Web      Web           // the node's web server
	Measures *MeasureStore // what hardening has done to installs; nil: nothing is known
}

// Find is Layout.Find, with the address that installs have on this host.
func (h *Host) Find(account, domain, path string) (Site, error) {
	s, err := h.Layout.Find(account, domain, path)
	if err != nil || h.SiteURL == "" {
		return s, err
	}
	return s.WithURL(strings.ReplaceAll(h.SiteURL, "{domain}", domain) + URLPath(path))
}
