package tasks

import "time"

var installSpec = Spec{
	Kind:     "install",
	Class:    Interactive,
	Deadline: 10 * time.Minute,
	New:      func() Task { return new(Install) },
}

// Install makes a new WordPress. Which domain and path it is for is in the
// op's SiteRef; the payload is the rest of the request. What is left out is
// chosen by the node, and shown in the result.
type Install struct {
	Title         string   `json:"title,omitempty"`
	AdminUser     string   `json:"admin_user,omitempty"`
	AdminPassword Secret   `json:"admin_password,omitempty"`
	AdminEmail    string   `json:"admin_email,omitempty"`
	DBName        string   `json:"db_name,omitempty"`      // a wish; the result has the real name
	Version       string   `json:"version,omitempty"`      // "6.5", "6.5.2", "latest"
	Locale        string   `json:"locale,omitempty"`       // "de_DE"
	TablePrefix   string   `json:"table_prefix,omitempty"` // "wp_"
	Plugins       []string `json:"plugins,omitempty"`      // "akismet" or "akismet@5.3"
	Theme         string   `json:"theme,omitempty"`
	Multisite     string   `json:"multisite,omitempty"`    // "", "subdirectories" or "subdomains"
	SSL           *bool    `json:"ssl,omitempty"`          // https in the site's address; nil: the node's default
	Mode          string   `json:"install_mode,omitempty"` // "wp-cli" or "golden"; "": the node's default
	// Provision has the node make the account and the domain's directory, where it may.
	Provision bool `json:"provision,omitempty"`
}

// InstallResult is what a finished install answers. The generated password is
// not in it: the API shows that once, from its own sealed copy.
type InstallResult struct {
	ID          string `json:"id"`
	Domain      string `json:"domain"`
	Path        string `json:"path"`
	Version     string `json:"version"`
	SiteTitle   string `json:"site_title"`
	SiteURL     string `json:"site_url"`
	AdminURL    string `json:"admin_url"`
	DBName      string `json:"db_name"`
	DBUser      string `json:"db_user"`
	DBHost      string `json:"db_host"`
	TablePrefix string `json:"table_prefix"`
	AdminUser   string `json:"admin_user"`
	Multisite   bool   `json:"multisite"`

	Mode string `json:"install_mode,omitempty"` // how WordPress was installed in the end
	// ModeReason is why that was not by a template, where one was asked for.
	ModeReason string `json:"install_mode_reason,omitempty"`
}

// Kind is "install".
func (*Install) Kind() string { return "install" }

// Generates makes up the administrator's password when the request has none.
func (p *Install) Generates() (*Secret, string) { return &p.AdminPassword, "admin_password" }
