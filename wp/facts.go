package wp

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"
)

// Details is everything that a look into an install tells: its files, its tables, and
// WordPress itself, started once. A part that could not be read is nil. Every text in it is
// the tenant's word, cleaned and capped. The doc tags are the API's text.
type Details struct {
	Status  Status    `json:"status" doc:"ok, broken, suspended or unreadable."`
	Reason  string    `json:"reason" doc:"Why the status is not ok."`
	Culprit *Culprit  `json:"culprit,omitempty" doc:"What breaks the site, where the error tells."`
	ReadAt  time.Time `json:"read_at"`
	// Limited: WordPress came up only without the plugins and the theme.
	Limited bool     `json:"limited" doc:"Read without the site's plugins and theme, because they break it."`
	Failed  []string `json:"failed,omitempty" doc:"Parts that the site's own code kept from being read."`

	Core     *CoreFacts     `json:"core"`
	Plugins  *PluginFacts   `json:"plugins"`
	Themes   *ThemeFacts    `json:"themes"`
	Users    *UserFacts     `json:"users"`
	Options  *OptionFacts   `json:"options"`
	Cache    *CacheFacts    `json:"cache"`
	Security *SecurityFacts `json:"security"`
	Database *DatabaseFacts `json:"database"`
	Cron     *CronFacts     `json:"cron"`
	PHP      *PHPFacts      `json:"php"`
	Files    *Usage         `json:"files"`
	// Measures is nil where the node does not know whose install it is.
	Measures []MeasureStatus `json:"measures"`
	Issues   []Issue         `json:"issues" doc:"What deserves attention, the worst first."`
}

// CoreFacts is WordPress itself.
type CoreFacts struct {
	Version         string `json:"version"`
	Update          string `json:"update" doc:"Newest version on offer when updates were last looked for; empty when there is none."`
	CheckedAt       int64  `json:"checked_at" doc:"When the site last looked for updates, Unix seconds; 0 is never."`
	DBVersion       int    `json:"db_version"`
	DBVersionWanted int    `json:"db_version_wanted" doc:"Greater than db_version: the tables wait for their upgrade."`
	PackageLanguage string `json:"package_language"`
	Multisite       bool   `json:"multisite"`
	Subdomains      bool   `json:"subdomains"`
	Blogs           int    `json:"blogs"`
}

// Plugin is one plugin, must-use plugin or drop-in.
type Plugin struct {
	Slug       string `json:"slug" example:"akismet"`
	File       string `json:"file" example:"akismet/akismet.php"`
	Name       string `json:"name"`
	Version    string `json:"version"`
	Status     string `json:"status" enum:"active,active-network,inactive,must-use,drop-in"`
	Update     string `json:"update" doc:"Version on offer when updates were last looked for; empty when there is none."`
	AutoUpdate bool   `json:"auto_update"`
}

// PluginFacts is the list of plugins.
type PluginFacts struct {
	List      []Plugin `json:"list"`
	More      int      `json:"more" doc:"How many are not in the list, which is capped."`
	CheckedAt int64    `json:"checked_at"`
}

// Theme is one theme.
type Theme struct {
	Slug       string `json:"slug" example:"twentytwentyfour"`
	Name       string `json:"name"`
	Version    string `json:"version"`
	Status     string `json:"status" enum:"active,parent,inactive"`
	Parent     string `json:"parent" doc:"Slug of the theme that this one builds on."`
	Update     string `json:"update" doc:"Version on offer when updates were last looked for; empty when there is none."`
	AutoUpdate bool   `json:"auto_update"`
	Error      string `json:"error" doc:"Why WordPress cannot use it."`
}

// ThemeFacts is the list of themes.
type ThemeFacts struct {
	List      []Theme `json:"list"`
	More      int     `json:"more" doc:"How many are not in the list, which is capped."`
	CheckedAt int64   `json:"checked_at"`
}

// UserFacts counts the users.
type UserFacts struct {
	Total       int             `json:"total"`
	ByRole      map[string]int  `json:"by_role" doc:"Empty for sites with more than 20,000 users."`
	Admins      []Administrator `json:"administrators" doc:"The first 50."`
	SuperAdmins []string        `json:"super_admins,omitempty" doc:"Of a network."`
}

// Administrator is one administrator.
type Administrator struct {
	ID    int64  `json:"id"`
	Login string `json:"login"`
	Email string `json:"email"`
	Name  string `json:"name"`
}

// OptionFacts are settings as the running site sees them.
type OptionFacts struct {
	SiteURL            string `json:"siteurl"`
	Home               string `json:"home"`
	BlogName           string `json:"blogname"`
	AdminEmail         string `json:"admin_email"`
	Timezone           string `json:"timezone"`
	Locale             string `json:"locale"`
	PermalinkStructure string `json:"permalink_structure"`
	BlogPublic         bool   `json:"blog_public" doc:"False: search engines are asked to stay away."`
	UsersCanRegister   bool   `json:"users_can_register"`
	DefaultRole        string `json:"default_role"`
}

// DropIn is the head of a drop-in; without a name it does not say whose it is.
type DropIn struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// CacheLayer is a cache that a drop-in provides.
type CacheLayer struct {
	Enabled bool    `json:"enabled"`
	DropIn  *DropIn `json:"dropin"`
}

// OpcodeCache is as the command line's PHP is configured, which may differ from the web server's.
type OpcodeCache struct {
	Extension bool `json:"extension"`
	Enabled   bool `json:"enabled"`
	// Web is the node's say, not the site's.
	Web OpcacheState `json:"web" doc:"As the web server's PHP tells it."`
}

// CacheFacts are the layers of caching.
type CacheFacts struct {
	Object CacheLayer  `json:"object"`
	Page   CacheLayer  `json:"page"`
	Opcode OpcodeCache `json:"opcode"`
	// Offered is the node's say, not the site's.
	Offered bool `json:"object_offered" doc:"The node has a Redis to offer for the object cache."`
}

// SecurityFacts is what hardening looks at.
type SecurityFacts struct {
	// Constants holds a bool, a text, or null for what is not defined.
	Constants       map[string]any `json:"constants" doc:"Constants of WordPress by name; null for one that is not defined."`
	KeysUnique      bool           `json:"keys_unique" doc:"The eight keys and salts are set, long, and differ."`
	UserAdminExists bool           `json:"user_admin_exists"`
	PingbacksOpen   bool           `json:"pingbacks_open"`
	PrefixDefault   bool           `json:"prefix_default"`
	HiddenLogin     string         `json:"hidden_login" doc:"Where the login page is, when it is hidden."`
	LoginHider      bool           `json:"login_hider" doc:"What hides it is there, and not switched off in wp-config.php."`
	XMLRPCLimited   bool           `json:"xmlrpc_limited" doc:"XML-RPC is to take no bundles of calls and no pingbacks."`
	XMLRPCLimiter   bool           `json:"xmlrpc_limiter" doc:"What sees to that is there, and not switched off in wp-config.php."`
}

// DatabaseFacts are of the tables with the site's prefix.
type DatabaseFacts struct {
	Name          string `json:"name"`
	User          string `json:"user"`
	Host          string `json:"host"`
	Prefix        string `json:"prefix"`
	Server        string `json:"server"`
	Charset       string `json:"charset"`
	Tables        int    `json:"tables"`
	Bytes         int64  `json:"bytes"`
	AutoloadBytes int64  `json:"autoload_bytes" doc:"Size of the options that every request reads."`
}

// CronFacts are the scheduled events.
type CronFacts struct {
	Disabled bool  `json:"disabled" doc:"DISABLE_WP_CRON: visits do not start it."`
	Events   int   `json:"events"`
	Overdue  int   `json:"overdue" doc:"More than ten minutes late."`
	NextAt   int64 `json:"next_at" doc:"Unix seconds; 0 is never."`
}

// PHPFacts is the PHP that the install was read with.
type PHPFacts struct {
	Version        string   `json:"version"`
	Extensions     []string `json:"extensions"`
	MemoryLimit    string   `json:"memory_limit"`
	MemoryLimitMax string   `json:"memory_limit_max"`
}

// factsTime bounds one start: a site that takes longer is of no use to its visitors either.
const factsTime = 40 * time.Second

// facts reads what WordPress knows. Status and what is not WordPress's are left empty.
func (c *CLI) facts(ctx context.Context, site Site, withPlugins bool) (Details, error) {
	out, err := c.must(ctx, site, siteFacts(withPlugins))
	if err != nil {
		return Details{}, err
	}
	d, err := parseFacts(out)
	if err != nil {
		return Details{}, fmt.Errorf("reading facts: %w", err)
	}
	return d, nil
}

func siteFacts(withPlugins bool) Command {
	cmd := command("wptk", "facts").loading("facts.php").forParser().within(factsTime)
	if !withPlugins {
		cmd = cmd.withoutPlugins()
	}
	return cmd
}

// parseFacts reads what facts.php prints.
func parseFacts(out []byte) (Details, error) {
	var d Details
	if err := parseJSON(out, &d); err != nil {
		return Details{}, err
	}
	if d.Core == nil {
		return Details{}, fmt.Errorf("%w: nothing about WordPress itself", ErrOutput)
	}
	// Only what facts.php fills: the rest would be the site's own say.
	d = Details{
		Core: d.Core, Plugins: d.Plugins, Themes: d.Themes, Users: d.Users, Options: d.Options, Cache: d.Cache,
		Security: d.Security, Database: d.Database, Cron: d.Cron, PHP: d.PHP, Failed: d.Failed[:min(len(d.Failed), 16)],
	}
	cleanTexts(reflect.ValueOf(&d).Elem())
	return d, nil
}

// cleanTexts makes every text below v fit to be shown, so that no field is forgotten. What a
// map holds besides texts, bools and numbers is dropped.
func cleanTexts(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			cleanTexts(v.Elem())
		}
	case reflect.String:
		v.SetString(cleanField(v.String()))
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				cleanTexts(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			cleanTexts(v.Index(i))
		}
	case reflect.Map:
		cleanMap(v)
	}
}

func cleanMap(v reflect.Value) {
	for _, key := range v.MapKeys() {
		value := v.MapIndex(key)
		v.SetMapIndex(key, reflect.Value{})
		switch content := value.Interface().(type) {
		case string:
			value = reflect.ValueOf(cleanField(content))
		case bool, nil, int:
		default:
			continue
		}
		v.SetMapIndex(reflect.ValueOf(cleanField(key.String())), value)
	}
}

// MaxDetails is how long the JSON of Details gets, in bytes.
const MaxDetails = 256 << 10

// Encode is the JSON of the details, their lists cut as far as it takes to stay within
// MaxDetails.
func (d Details) Encode() ([]byte, error) {
	for {
		b, err := json.Marshal(d)
		if err != nil {
			return nil, fmt.Errorf("encoding details: %w", err)
		}
		if len(b) <= MaxDetails {
			return b, nil
		}
		if !d.cut() {
			return nil, fmt.Errorf("encoding details: %d bytes are too many", len(b))
		}
	}
}

// cut halves the lists, and reports whether there was anything left to halve.
func (d *Details) cut() bool {
	before := 0
	halve := func(n int) int { before += n; return n / 2 }
	if d.Plugins != nil {
		p := *d.Plugins
		keep := halve(len(p.List))
		p.More, p.List = p.More+len(p.List)-keep, p.List[:keep]
		d.Plugins = &p
	}
	if d.Themes != nil {
		t := *d.Themes
		keep := halve(len(t.List))
		t.More, t.List = t.More+len(t.List)-keep, t.List[:keep]
		d.Themes = &t
	}
	if d.Users != nil {
		u := *d.Users
		u.Admins, u.SuperAdmins = u.Admins[:halve(len(u.Admins))], u.SuperAdmins[:halve(len(u.SuperAdmins))]
		d.Users = &u
	}
	return before > 0
}
