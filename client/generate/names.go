package main

import "strings"

var methodWords = map[string]string{"GET": "Get", "POST": "Post", "PATCH": "Patch", "PUT": "Put", "DELETE": "Delete"}

// methodNames are the operations' names in Go. An operation that is not here is called
// by its id (PostWordpressSomething); naming it later takes the other name away.
var methodNames = map[string]string{
	"post-console-links":                     "ConsoleLink",
	"get-nodes":                              "Nodes",
	"post-nodes-id-drain":                    "DrainNode",
	"post-nodes-id-undrain":                  "UndrainNode",
	"delete-nodes-id":                        "RemoveNode",
	"get-users-username-api-keys":            "Keys",
	"post-users-username-api-keys":           "CreateKey",
	"delete-users-username-api-keys-id":      "DeleteKey",
	"post-users-username-api-keys-id-rotate": "RotateKey",
	"get-wordpress-audit":                    "Audit",

	"get-webhooks":               "Webhooks",
	"post-webhooks":              "CreateWebhook",
	"get-webhooks-id":            "Webhook",
	"patch-webhooks-id":          "ChangeWebhook",
	"delete-webhooks-id":         "DeleteWebhook",
	"get-webhooks-id-deliveries": "Deliveries",
	"post-webhooks-id-deliveries-delivery-redeliver": "Redeliver",
	"post-webhooks-id-rotate":                        "RotateWebhookSecret",
	"post-webhooks-id-test":                          "TestWebhook",

	"post-wordpress-install":            "Install",
	"get-wordpress-install-id-progress": "Progress",
	"post-wordpress-clone":              "Clone",
	"post-wordpress-push":               "Push",
	"delete-wordpress-delete":           "Delete",
	"get-wordpress-installations":       "Installations",
	"get-wordpress-installation":        "Installation",
	"get-wordpress-status":              "Status",
	"post-wordpress-inspect":            "Inspect",
	"post-wordpress-core-update":        "UpdateCore",
	"post-wordpress-reinstall-core":     "ReinstallCore",
	"post-wordpress-maintenance":        "Maintenance",
	"post-wordpress-search-replace":     "SearchReplace",
	"post-wordpress-admin-create":       "CreateAdmin",
	"post-wordpress-auto-login":         "AutoLogin",
	"post-wordpress-password-reset":     "ResetPassword",
	"post-wordpress-verify-checksums":   "VerifyChecksums",
	"get-wordpress-verify-checksums":    "Checksums",

	"get-wordpress-backups":            "Backups",
	"post-wordpress-backup":            "Backup",
	"post-wordpress-backups-id-verify": "VerifyBackup",
	"delete-wordpress-backups-id":      "DeleteBackup",
	"post-wordpress-restore":           "Restore",

	"get-wordpress-cache":          "Cache",
	"post-wordpress-cache-enable":  "EnableCache",
	"post-wordpress-cache-disable": "DisableCache",
	"post-wordpress-cache-flush":   "FlushCache",
	"post-wordpress-cache-purge":   "PurgeCache",

	"get-wordpress-operations":             "Operations",
	"get-wordpress-operations-id":          "Operation",
	"get-wordpress-operations-id-children": "Children",
	"get-wordpress-operations-id-log":      "Log",
	"post-wordpress-operations-id-cancel":  "Cancel",
	"post-wordpress-operations-id-pause":   "Pause",
	"post-wordpress-operations-id-resume":  "Resume",
	"post-wordpress-operations-id-retry":   "Retry",

	"get-wordpress-plugins":             "Plugins",
	"post-wordpress-plugins-install":    "InstallPlugins",
	"post-wordpress-plugins-activate":   "ActivatePlugins",
	"post-wordpress-plugins-deactivate": "DeactivatePlugins",
	"post-wordpress-plugins-update":     "UpdatePlugins",
	"post-wordpress-plugins-delete":     "DeletePlugins",
	"get-wordpress-themes":              "Themes",
	"post-wordpress-themes-install":     "InstallThemes",
	"post-wordpress-themes-activate":    "ActivateTheme",
	"post-wordpress-themes-deactivate":  "DeactivateTheme",
	"post-wordpress-themes-update":      "UpdateThemes",
	"post-wordpress-themes-delete":      "DeleteThemes",

	"get-wordpress-schedules":       "Schedules",
	"post-wordpress-schedules":      "CreateSchedule",
	"get-wordpress-schedules-id":    "Schedule",
	"patch-wordpress-schedules-id":  "ChangeSchedule",
	"delete-wordpress-schedules-id": "DeleteSchedule",

	"get-wordpress-security":                    "Security",
	"post-wordpress-security-disable-file-edit": "DisableFileEdit",
	"post-wordpress-security-file-protection":   "ProtectFiles",
	"post-wordpress-security-hide-login":        "HideLogin",
	"post-wordpress-security-toggle-debug":      "ToggleDebug",
	"post-wordpress-security-measure":           "SecurityMeasure",
}

func methodName(id string) string {
	if name := methodNames[id]; name != "" {
		return name
	}
	return goName(id)
}

var initialisms = map[string]string{
	"api": "API", "cli": "CLI", "db": "DB", "eta": "ETA", "guid": "GUID", "id": "ID", "ids": "IDs", "ip": "IP",
	"op": "Op", "php": "PHP", "ssl": "SSL", "tz": "TZ", "url": "URL", "urls": "URLs", "wp": "WP",
}

// goName is a name_like-this as Go has it.
func goName(name string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '_' || r == '-' }) {
		if big := initialisms[word]; big != "" {
			b.WriteString(big)
			continue
		}
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// lowerName is the same for a parameter.
func lowerName(name string) string {
	n := goName(name)
	if n == strings.ToUpper(n) {
		return strings.ToLower(n)
	}
	return strings.ToLower(n[:1]) + n[1:]
}
