package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"
	"github.com/gorilla/mux"

	"github.com/wispanel/wptk/cmd/internal/seal"
	"github.com/wispanel/wptk/egress"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// deps is what the server works with.
type deps struct {
	Ledger  *queue.Client
	Watcher *queue.Watcher
	Feed    *queue.Feed
	Metrics *queue.Metrics
	Secrets *seal.Key // seals what is shown once; replicas share it
	Log     *slog.Logger

	Proxies   []netip.Prefix // whose X-Forwarded-For is believed
	Egress    egress.Policy  // where webhooks may lead
	RateLimit int            // requests a minute, unless a key has its own
	Retention time.Duration  // of ended operations
	AuditKeep time.Duration  // of the audit trail; 90 days when 0

	FreshWait time.Duration // how long a read waits for an inspection; 15 s when 0

	Ready   func(context.Context) error // nil when requests can be served
	Closing context.Context             // ends when the process is about to stop: long answers end
}

type server struct {
	deps
	nodes *nodeCache
	shown *memo // ops whose one-time secret is known to be gone
	open  *streams
	guard *guard
}

// newServer builds the whole HTTP side.
func newServer(d deps) http.Handler {
	s := &server{deps: d, nodes: &nodeCache{ledger: d.Ledger}, shown: newMemo(), open: newStreams(d.Metrics)}
	s.guard = newGuard(d.Closing, s.stands)
	router := mux.NewRouter().SkipClean(true) // a redirect would be an answer without envelope
	router.Use(s.gate, oneOfEach, limitBody, s.idempotent)
	router.NotFoundHandler = s.lost(newProblem("NOT_FOUND", "No such endpoint").hint("GET /openapi.json lists all"))
	router.MethodNotAllowedHandler = wrongMethod(router, s.lost(newProblem("METHOD_NOT_ALLOWED", "Method not allowed")))
	s.routes(router)
	return s.observe(router)
}

// routes is everything that is served.
func (s *server) routes(router *mux.Router) {
	config := apiConfig()
	api := humamux.New(router, config)
	// Registered here is what hand-written handlers answer: same document, no route.
	described := huma.NewAPI(config, describeOnly{})

	const wp = apiBase + "/wordpress"
	add(api, post, wp+"/install", s.install, "Install WordPress",
		"Answers 202 once the operation is recorded durably; poll progress_url for the outcome.")
	add(api, post, wp+"/clone", s.clone, "Copy an install to another address",
		"Files and database, with a database, a table prefix, keys and salts of its own. Addresses and paths are replaced, in serialized values and JSON too, and counted to zero before the copy is seen. The original is only read.")
	add(api, post, wp+"/push", s.push, "Bring parts of an install onto another one",
		"Mostly of a staging copy onto the site it was made of. The target is backed up first and changed in one step; it keeps its configuration, keys, users and sessions, and gets its own addresses. What is pushed replaces what is there.")
	add(described, get, wp+"/install/{id}/progress", describeProgress, "Progress of an install or operation",
		"The id is an install's (its newest operation) or an operation's. Always 200 with the outcome inside; wait long-polls.")
	router.Path(wp + "/install/{id}/progress").Methods(get).Name(limitsItself).HandlerFunc(s.progress)

	add(api, get, wp+"/operations", s.listOperations, "List operations", "Newest first.")
	add(api, get, wp+"/operations/{id}", s.getOperation, "One operation", "")
	add(api, post, wp+"/operations/{id}/cancel", s.cancelOperation, "Cancel an operation",
		"A queued one ends at once; a running one stops and undoes what it made.")
	add(api, post, wp+"/operations/{id}/retry", s.retryOperation, "Run a failed or cancelled operation again",
		"A new operation with a new id and the same payload.")
	add(api, post, wp+"/operations/{id}/pause", s.pauseOperation, "Let an operation on many installs begin no more of them", "Those that have begun are finished.")
	add(api, post, wp+"/operations/{id}/resume", s.resumeOperation, "Let a paused operation go on", "")
	add(api, get, wp+"/operations/{id}/children", s.listChildren, "Installs of an operation on many", "In their order, each with how it went.")
	add(api, get, wp+"/operations/{id}/log", s.operationLog, "Output of an operation", "Redacted WP-CLI output.")
	add(described, get, wp+"/operations/{id}/events", describeEvents, "Stream of an operation's changes",
		"Server-Sent Events: snapshot, progress, done. Last-Event-ID resumes; 204 when there is nothing left to tell.")
	router.Path(wp + "/operations/{id}/events").Methods(get).HandlerFunc(s.events)
	add(described, get, wp+"/events", describeAccountEvents, "Stream of all changes of an account's operations",
		"Server-Sent Events: a snapshot of the open operations, then progress and done of each. Last-Event-ID resumes without a gap and without a repeat; reset and a new snapshot when it is too old.")
	router.Path(wp + "/events").Methods(get).HandlerFunc(s.accountEvents)
	add(described, get, wp+"/installations/{id}/events", describeSiteEvents, "Stream of all changes of an install's operations",
		"As GET /wordpress/events, of one install: also of what is asked of it later.")
	router.Path(wp + "/installations/{id}/events").Methods(get).HandlerFunc(s.siteEvents)

	add(api, post, wp+"/schedules", s.createSchedule, "Ask for something again and again", "Every time it is due is an operation on many installs, also for a single one.")
	add(api, get, wp+"/schedules", s.listSchedules, "List schedules", "")
	add(api, get, wp+"/schedules/{id}", s.getSchedule, "One schedule", "When it is due, what came of the last time, and the operation that it made.")
	add(api, patch, wp+"/schedules/{id}", s.changeSchedule, "Change a schedule", "What is left out stays.")
	add(api, del, wp+"/schedules/{id}", s.deleteSchedule, "Delete a schedule", "What it has made goes on.")

	add(api, get, wp+"/installations", s.listInstallations, "List installs", "A bare array; the next page is in the Link header.")
	add(api, get, wp+"/installation", s.getInstallation, "One install", "With plugins, themes, users, sizes and health, as its last inspection found them.")
	add(api, get, wp+"/plugins", s.listPlugins, "Plugins of an install", "A bare array, must-use plugins and drop-ins included.")
	add(api, get, wp+"/themes", s.listThemes, "Themes of an install", "A bare array.")
	addKind[tasks.SiteInspect](s, api, post, wp+"/inspect", "Inspect an install", "Reads everything about it anew; reads do this by themselves with fresh=true.")
	add(api, get, wp+"/status", s.status, "State of the toolkit", "")

	add(api, get, wp+"/cache", s.getCache, "Caches of an install", "State and provider of each layer, and why one is not available.")
	addKind[tasks.CacheEnable](s, api, post, wp+"/cache/enable", "Switch a cache on", "object is a Redis of the node, page keeps whole pages for visitors who are not logged in.")
	addKind[tasks.CacheDisable](s, api, post, wp+"/cache/disable", "Switch a cache off", "Only what was switched on here; what a plugin has put there stays.")
	addKind[tasks.CacheFlush](s, api, post, wp+"/cache/flush", "Empty a cache", "")
	addKind[tasks.CachePurge](s, api, post, wp+"/cache/purge", "Purge pages", "Of the toolkit's page cache, or of the plugin of the site that caches them.")

	addKind[tasks.CoreUpdate](s, api, post, wp+"/core/update", "Update WordPress", "Its files change places with the old ones by rename; a failure puts those back. Tables that were upgraded stay so.")
	addKind[tasks.CoreReinstall](s, api, post, wp+"/reinstall-core", "Put the files of WordPress back as they should be", "Content and configuration are left alone.")
	addKind[tasks.ChecksumsVerify](s, api, post, wp+"/verify-checksums", "Compare files with their packages", "Changes nothing.")
	add(api, get, wp+"/verify-checksums", s.lastChecksums, "Result of the last comparison", "Of POST to the same address.")

	addKind[tasks.Maintenance](s, api, post, wp+"/maintenance", "Close an install for visitors, or open it again", "It opens by itself when its time is over.")
	addKind[tasks.SearchReplace](s, api, post, wp+"/search-replace", "Replace a text in the database",
		"Serialized values stay whole, and JSON's escaped form of the text is found too. There is no undo: send dry_run first.")
	add(api, post, wp+"/restore", s.restore, "Restore a backup",
		"All of it, its files or its database, or single paths and tables. It is built beside the present state and checked there; then both change places in one step, and back when the site does not work. A checkpoint of the present comes first.")
	add(api, del, wp+"/delete", s.deleteSite, "Delete an install",
		"Files, database, database user and cron lines, as far as nothing else uses them; dry_run names them all. A final archive is kept on the node for 7 days.")

	addKind[tasks.PluginInstall](s, api, post, wp+"/plugins/install", "Install plugins", listed)
	addKind[tasks.PluginActivate](s, api, post, wp+"/plugins/activate", "Activate plugins", listed)
	addKind[tasks.PluginDeactivate](s, api, post, wp+"/plugins/deactivate", "Deactivate plugins", listed)
	addKind[tasks.PluginUpdate](s, api, post, wp+"/plugins/update", "Update plugins", listed)
	addKind[tasks.PluginDelete](s, api, post, wp+"/plugins/delete", "Delete plugins", listed)
	addKind[tasks.ThemeInstall](s, api, post, wp+"/themes/install", "Install themes", listed)
	addKind[tasks.ThemeActivate](s, api, post, wp+"/themes/activate", "Switch to a theme", "")
	addKind[tasks.ThemeDeactivate](s, api, post, wp+"/themes/deactivate", "Switch away from a theme", "A site always has a theme: the fallback takes its place.")
	addKind[tasks.ThemeUpdate](s, api, post, wp+"/themes/update", "Update themes", listed)
	addKind[tasks.ThemeDelete](s, api, post, wp+"/themes/delete", "Delete themes", listed)
	addKind[tasks.AdminCreate](s, api, post, wp+"/admin/create", "Create a user", "An administrator unless the role says otherwise.")
	addKind[tasks.AdminAutologin](s, api, post, wp+"/auto-login", "Make a login link",
		"The result's login_url logs a browser in: once, within 60 seconds. It is shown once, to whoever asked for it.")
	addKind[tasks.PasswordReset](s, api, post, wp+"/password/reset", "Set a user's password", "The user is logged out everywhere.")
	addKind[tasks.SecurityHideLogin](s, api, post, wp+"/security/hide-login", "Hide the login page, or show it again",
		"It is at /slug/ then; wp-login.php and wp-admin answer 404 to visitors. This is obscurity, not protection.")

	add(api, get, wp+"/backups", s.listBackups, "List backups", "A bare array, newest first; the next page is in the Link header.")
	addKind[tasks.BackupCreate](s, api, post, wp+"/backup", "Take a backup", "Files and database, the latter as of one moment; encrypted, and only what is new takes room.")
	add(api, del, wp+"/backups/{id}", s.deleteBackup, "Delete a backup", "")
	add(api, post, wp+"/backups/{id}/verify", s.verifyBackup, "Restore a backup on trial", "Where nobody sees it: files and rows are compared with what was stored, and removed again.")
	add(described, get, wp+"/backups/{id}/download", describeDownload, "Download a backup", "One tar: backup.json, database/*.sql (to be put together in order), files/…, summary.json with checksums. A stream that breaks off ends without its last chunk.")
	router.Path(wp + "/backups/{id}/download").Methods(get).HandlerFunc(s.download)

	add(api, get, wp+"/security", s.getSecurity, "Hardening of an install", "Every measure: applied or not, by which operation, what has drifted since, and why one is not available.")
	addKind[tasks.SecurityDisableFileEdit](s, api, post, wp+"/security/disable-file-edit", "No file editor in the dashboard", "")
	addKind[tasks.SecurityToggleDebug](s, api, post, wp+"/security/toggle-debug", "Debug into a private log", "Off puts back exactly what was there before.")
	addKind[tasks.SecurityFileProtection](s, api, post, wp+"/security/file-protection", "Protect files by a named set of measures", "The result has each of them. Rules that make the site answer worse are taken back.")
	add(api, post, wp+"/security/{measure}", s.changeMeasure, "Apply another measure, or take it back", "") // behind all of /security/

	add(api, get, apiBase+"/nodes", s.listNodes, "List nodes", "For admins.")
	add(api, post, apiBase+"/nodes/{id}/drain", s.drainNode, "Take a node out of service", "It finishes what it runs. For admins.")
	add(api, post, apiBase+"/nodes/{id}/undrain", s.undrainNode, "Put a node back into service", "For admins.")
	add(api, del, apiBase+"/nodes/{id}", s.removeNode, "Take a node out of the fleet",
		"Its installs and domains are forgotten, its open operations cancelled; its disks stay as they are. A worker that still runs registers again. For admins.")

	add(api, post, apiBase+"/users/{username}/api-keys", s.createKey, "Create an API key", "The secret is in this answer only.")
	add(api, get, apiBase+"/users/{username}/api-keys", s.listKeys, "List API keys", "")
	add(api, del, apiBase+"/users/{username}/api-keys/{id}", s.revokeKey, "Revoke an API key", "Seen by every API process within 5 seconds.")

	add(api, post, apiBase+"/users/{username}/api-keys/{id}/rotate", s.rotateKey, "Replace an API key by a new one with the same rights", "The new secret is in this answer only. The old key goes on for overlap_hours.")
	add(api, get, apiBase+auditPath, s.listAudit, "Who has asked for what", "Every change, every refusal and every reading of a secret. Newest first; after=newest answers what came since, oldest first. For admins.")

	const hooks = apiBase + "/webhooks"
	add(api, post, hooks, s.createWebhook, "Create a webhook", "The secret is in this answer only.")
	add(api, get, hooks, s.listWebhooks, "List webhooks", "")
	add(api, get, hooks+"/{id}", s.getWebhook, "One webhook", "")
	add(api, patch, hooks+"/{id}", s.changeWebhook, "Change a webhook", "What is left out stays.")
	add(api, del, hooks+"/{id}", s.deleteWebhook, "Delete a webhook", "With its deliveries, those under way included.")
	add(api, post, hooks+"/{id}/rotate", s.rotateWebhook, "Give a webhook a new secret", "It is in this answer only. For a while deliveries are signed with both.")
	add(api, post, hooks+"/{id}/test", s.testWebhook, "Send a test event", "Whether the webhook is enabled or not.")
	add(api, get, hooks+"/{id}/deliveries", s.listDeliveries, "Deliveries of a webhook", "Newest first, those that wait before those that have ended.")
	add(api, post, hooks+"/{id}/deliveries/{delivery}/redeliver", s.redeliver, "Send a delivery again", "Under the same id.")

	add(api, post, consoleLinks, s.createConsoleLink, "Make a sign-in link for the operations console", "Once, within a minute, it opens a session that ends with the key. For admins.")
	s.console(router)

	router.Path("/healthz").Methods(get).HandlerFunc(healthz)
	router.Path("/readyz").Methods(get).HandlerFunc(s.readyz)
	document(router, api.OpenAPI())
}

// listed is how an operation on several plugins or themes ends.
const listed = "One after the other, each whole or not at all. The result has an item for each: " +
	"succeeded, unchanged, skipped, or failed with the reason. The operation fails when one of them does; those that succeeded stay."

const (
	get  = http.MethodGet
	post = http.MethodPost
	del  = http.MethodDelete

	patch = http.MethodPatch
)
