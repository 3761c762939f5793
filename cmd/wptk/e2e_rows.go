package main

// e2eRow is one endpoint: what is asked of it, and what has to be true then.
type e2eRow struct {
	name  string // as the API's document has it, below /wordpress
	check func(*exam)
	later string // what it belongs to, when that is not built yet
	// beside is a row that is no endpoint: one more look at one, or an example that uses several.
	beside bool
}

const (
	installRow = "POST /install"
	deleteRow  = "DELETE /delete"
)

// e2eRows is every endpoint, in the order in which they are checked on each site. Those
// that change something either take it back or are followed by the row that does: what
// plugins/install brings, plugins/delete takes away.
var e2eRows = []e2eRow{
	{name: installRow, check: checkInstall},
	{name: "POST /install (provision)", check: checkProvision, beside: true},
	{name: "GET /install/{id}/progress", check: checkProgress},
	{name: "GET /installations", check: checkInstallations},
	{name: "GET /installation", check: checkInstallation},
	{name: "GET /status", check: checkStatus},
	{name: "POST /inspect", check: checkInspect},

	{name: "GET /operations", check: checkOperations},
	{name: "GET /operations/{id}", check: checkOperation},
	{name: "GET /operations/{id}/log", check: checkLog},
	{name: "GET /operations/{id}/events", check: checkEvents},
	{name: "GET /events", check: checkAccountEvents},
	{name: "GET /installations/{id}/events", check: checkSiteEvents},
	{name: "POST /operations/{id}/cancel", check: checkCancel},
	{name: "POST /operations/{id}/retry", check: checkRetry},
	{name: "GET /operations/{id}/children", check: checkChildren},
	{name: "POST /operations/{id}/pause", check: checkPause},
	{name: "POST /operations/{id}/resume", check: checkPause},
	{name: "POST /schedules", check: checkSchedules},
	{name: "GET /schedules", check: checkSchedules},
	{name: "GET /schedules/{id}", check: checkSchedules},
	{name: "PATCH /schedules/{id}", check: checkSchedules},
	{name: "DELETE /schedules/{id}", check: checkSchedules},

	{name: "POST /maintenance", check: checkMaintenance},
	{name: "POST /search-replace", check: checkSearchReplace},

	{name: "POST /admin/create", check: checkAdminCreate},
	{name: "POST /password/reset", check: checkPasswordReset},
	{name: "POST /auto-login", check: checkAutoLogin},

	{name: "POST /plugins/install", check: checkPluginsInstall},
	{name: "POST /plugins/activate", check: checkPluginsActivate},
	{name: "GET /plugins", check: checkPlugins},
	{name: "POST /plugins/deactivate", check: checkPluginsDeactivate},
	{name: "POST /plugins/update", check: checkPluginsUpdate},
	{name: "POST /plugins/delete", check: checkPluginsDelete},

	{name: "POST /themes/install", check: checkThemesInstall},
	{name: "POST /themes/activate", check: checkThemesActivate},
	{name: "GET /themes", check: checkThemes},
	{name: "POST /themes/deactivate", check: checkThemesDeactivate},
	{name: "POST /themes/update", check: checkThemesUpdate},
	{name: "POST /themes/delete", check: checkThemesDelete},

	{name: "POST /cache/enable", check: checkCacheEnable},
	{name: "GET /cache", check: checkCache},
	{name: "POST /cache/flush", check: checkCacheFlush},
	{name: "POST /cache/purge", check: checkCachePurge},
	{name: "POST /cache/disable", check: checkCacheDisable},

	{name: "POST /security/disable-file-edit", check: checkFileEdit},
	{name: "GET /security", check: checkSecurity},
	{name: "POST /security/toggle-debug", check: checkDebug},
	{name: "POST /security/hide-login", check: checkHideLogin},
	{name: "POST /security/file-protection", check: checkFileProtection},
	{name: "POST /security/{measure}", check: checkMeasures},

	{name: "POST /verify-checksums", check: checkChecksums},
	{name: "GET /verify-checksums", check: checkLastChecksums},
	{name: "POST /reinstall-core", check: checkReinstall},
	{name: "POST /core/update", check: checkCoreUpdate},

	{name: "POST /core/update (safe)", check: checkSafeUpdate, beside: true},
	{name: "POST /clone", check: checkClone},
	{name: "POST /clone (another node)", check: checkCloneAway, beside: true},
	{name: "POST /push", check: checkPush},
	{name: "POST /backup", check: checkBackup},
	{name: "GET /backups", check: checkBackups},
	{name: "GET /backups/{id}/download", check: checkDownload},
	{name: "POST /backups/{id}/verify", check: checkVerify},
	{name: "DELETE /backups/{id}", check: checkBackupDelete},
	{name: "POST /restore", check: checkRestore},

	{name: "GET /audit", check: checkAudit},
	{name: "/console", check: checkConsole, beside: true},
	{name: "examples/php", check: checkPHP, beside: true},
	{name: "client (Go)", check: checkGoClient, beside: true},
	{name: "deploy/oapi (generated client)", check: checkGenerated, beside: true},
	{name: "docs/api.md (curl)", check: checkGuide, beside: true},

	{name: deleteRow, check: checkDelete},
}
