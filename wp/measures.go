package wp

import "slices"

// The hardening measures, by their names on the wire. Each can be taken back.
const (
	MeasureFileEdit     = "disable-file-edit"
	MeasureDebug        = "toggle-debug"
	MeasureHideLogin    = "hide-login"
	MeasurePermissions  = "permissions"
	MeasureConfig       = "wp-config"
	MeasureDotfiles     = "dotfiles"
	MeasureUploads      = "php-in-uploads"
	MeasureIncludes     = "php-in-includes"
	MeasureCache        = "php-in-cache"
	MeasureSensitive    = "sensitive-files"
	MeasureBrowsing     = "block-directory-browsing"
	MeasureScripts      = "no-script-concatenation"
	MeasureXMLRPC       = "block-xmlrpc"
	MeasureXMLRPCLimit  = "limit-xmlrpc"
	MeasureAuthorScan   = "block-author-scan"
	MeasureBackupFiles  = "block-backup-files"
	MeasureHeaders      = "security-headers"
	MeasurePingbacks    = "disable-pingbacks"
	MeasureSecurityKeys = "security-keys"
)

// Measure is one thing that makes an install harder to attack.
type Measure struct {
	ID    string
	Title string
	// Constants of wp-config.php that the measure sets, and what they are when it
	// is to be off and was not set by us.
	On, Off []ConfigEdit
	// Once: it is done, and there is no state to be in.
	Once bool
	Set  bool // one of the named set of file-protection
	rule *rule
}

// Rules reports a measure that works through the web server.
func (m Measure) Rules() bool { return m.rule != nil }

// FileProtection is the named set, in the order of Measures.
func FileProtection() []string {
	var ids []string
	for _, m := range Measures {
		if m.Set {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// FindMeasure looks a measure up by its name.
func FindMeasure(id string) (Measure, bool) {
	i := slices.IndexFunc(Measures, func(m Measure) bool { return m.ID == id })
	if i < 0 {
		return Measure{}, false
	}
	return Measures[i], true
}

// Measures is every measure there is, in the order people read them.
var Measures = []Measure{
	{ID: MeasureFileEdit, Title: "No editor for plugins and themes in the dashboard",
		On: []ConfigEdit{{"DISALLOW_FILE_EDIT", PHPBool(true)}}, Off: []ConfigEdit{{"DISALLOW_FILE_EDIT", PHPBool(false)}}},
	{ID: MeasureDebug, Title: "Errors go to a log that visitors cannot read",
		Off: []ConfigEdit{{"WP_DEBUG", PHPBool(false)}}},
	{ID: MeasureHideLogin, Title: "The login page is at an address of the owner's choice"},
	{ID: MeasurePermissions, Title: "Nobody else can write files, or read wp-config.php", Set: true},
	{ID: MeasureConfig, Title: "wp-config.php and copies of it are not served", Set: true, rule: &rule{
		path: `/+(?:[^/]+/+)*[^/]*wp-config[^/]*\.[^/]*`, sample: "wp-config.php"}},
	{ID: MeasureDotfiles, Title: "Hidden files are not served", Set: true, rule: &rule{
		path: `/+(?:[^/]+/+)*\.(?!well-known(?:/|$))[^/]`, sample: ".wptk-probe"}},
	{ID: MeasureUploads, Title: "PHP in uploads does not run", Set: true, rule: &rule{
		path: `/+[^/]+/+(?:uploads|blogs\.dir)/+` + anyPHP, sample: "wp-content/uploads/wptk-probe.php"}},
	{ID: MeasureIncludes, Title: "PHP in wp-includes is not called from outside", Set: true, rule: &rule{
		// ms-files.php serves the uploads of old networks, by a rewrite.
		path: `/+wp-includes/+(?!js/+tinymce/+wp-tinymce\.php$|ms-files\.php$)` + anyPHP, sample: "wp-includes/version.php"}},
	{ID: MeasureCache, Title: "PHP in cache directories does not run", Set: true, rule: &rule{
		path: `/+[^/]+/+(?:[^/]+/+)*cache/+` + anyPHP, sample: "wp-content/cache/wptk-probe.php"}},
	{ID: MeasureSensitive, Title: "Files that tell versions and paths are not served", Set: true, rule: &rule{
		path: `/+(?:[^/]+/+)*(?:(?:readme|license|licence|changelog|liesmich|licencia|lizenz)\.(?:txt|html?|md|rtf)|` +
			`debug\.log|error_log|php_errorlog|composer\.(?:json|lock)|package(?:-lock)?\.json|yarn\.lock|phpunit\.xml(?:\.dist)?|php\.ini)$`,
		sample: "readme.html"}},
	{ID: MeasureBrowsing, Title: "Directories are not listed", rule: &rule{
		apache: []string{"Options -Indexes"}, nginx: []string{"autoindex off;"}}},
	{ID: MeasureScripts, Title: "No bundled scripts that keep a server busy",
		On: []ConfigEdit{{"CONCATENATE_SCRIPTS", PHPBool(false)}}, Off: []ConfigEdit{{"CONCATENATE_SCRIPTS", PHPBool(true)}},
		rule: &rule{path: `/+wp-admin/+load-(?:scripts|styles)\.php`, sample: "wp-admin/load-scripts.php"}},
	{ID: MeasureXMLRPC, Title: "XML-RPC is closed", rule: &rule{path: `/+xmlrpc\.php`, sample: "xmlrpc.php"}},
	{ID: MeasureXMLRPCLimit, Title: "XML-RPC takes one call at a time, and no pingbacks"},
	{ID: MeasureAuthorScan, Title: "Login names cannot be counted through", rule: &rule{
		query: `(?:^|&)` + spelled("author") + `(?:%5b[^=]*%5d)?=[^&]*\d`, outside: `/+wp-admin/`, sample: "?author=1"}},
	{ID: MeasureBackupFiles, Title: "Dumps, archives and editors' copies are not served", rule: &rule{
		// People offer archives for download from uploads, but hardly dumps.
		except: `.*/(?:uploads|files)/(?!.*\.(?:sql|bak|old|dump)\.)[^?]*\.` + archives,
		path:   `/+(?:[^/]+/+)*[^/]*(?:\.(?:sql|bak|old|orig|save|sw[nop]|dump|pem|key)|~|\.` + archives + `)$`,
		sample: "wptk-probe.sql"}},
	{ID: MeasureHeaders, Title: "Browsers are told not to guess types, frame the site or pass on addresses", rule: &rule{
		apache: apacheHeaders(), nginx: nginxHeaders(), header: "X-Content-Type-Options"}},
	{ID: MeasurePingbacks, Title: "Posts take no pingbacks"},
	{ID: MeasureSecurityKeys, Title: "Fresh keys and salts", Once: true},
}

const archives = `(?:zip|tar|t?gz|tbz2?|bz2|xz|zst|7z|rar)`

// saltEdits are eight fresh keys. Everybody is logged out by them.
func saltEdits() ([]ConfigEdit, error) {
	edits := make([]ConfigEdit, 0, len(saltNames))
	for _, name := range saltNames {
		salt, err := PHPText(newSalt())
		if err != nil {
			return nil, err
		}
		edits = append(edits, ConfigEdit{name, salt})
	}
	return edits, nil
}

// FreshKeys replaces the eight keys and salts.
func FreshKeys(src []byte) ([]byte, error) {
	edits, err := saltEdits()
	if err != nil {
		return nil, err
	}
	next, _, err := EditConfig(src, edits...)
	return next, err
}
