package wp

// Host is a hosting node: the tools that operations on its installs work with, and what
// they need to know of it. It does not change while the worker runs.
type Host struct {
	Node     string
	CLI      *CLI
	DB       *Admin
	Packages *Packages
	Files    Files
	DBHost   string // DB_HOST of new installs, as PHP reaches the server: "localhost"
	SiteURL  string // address of a new install: "https://{domain}"
	Layout   Layout
}
