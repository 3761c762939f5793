package tasks

import (
	"fmt"

	"github.com/go-json-experiment/json"
)

// specs is every kind there is, in the order people read them. A new kind is
// one line here.
var specs = []Spec{
	installSpec,
	siteInspectSpec,
	securityDisableFileEditSpec,
	securityToggleDebugSpec,
	securityFileProtectionSpec,
	securityMeasureSpec,
	adminCreateSpec, adminAutologinSpec, passwordResetSpec, securityHideLoginSpec,
	coreUpdateSpec,
	coreReinstallSpec,
	checksumsVerifySpec,
	cacheEnableSpec, cacheDisableSpec, cacheFlushSpec, cachePurgeSpec,
	backupSpec, backupVerifySpec, backupDeleteSpec,
	maintenanceSpec, searchReplaceSpec, siteDeleteSpec, cloneSpec, pushSpec, restoreSpec,
	pluginInstallSpec, pluginActivateSpec, pluginDeactivateSpec, pluginUpdateSpec, pluginDeleteSpec,
	themeInstallSpec, themeActivateSpec, themeDeactivateSpec, themeUpdateSpec, themeDeleteSpec,
}

// Lookup finds the spec of a kind.
func Lookup(kind string) (Spec, bool) {
	for _, s := range specs {
		if s.Kind == kind {
			return s, true
		}
	}
	return Spec{}, false
}

// Kinds lists the names of all kinds.
func Kinds() []string {
	kinds := make([]string, len(specs))
	for i, s := range specs {
		kinds[i] = s.Kind
	}
	return kinds
}

// Decode reads a payload of a kind. It is as strict as the API: an unknown or
// doubled field means that a newer program wrote it, and guessing what it meant
// would be worse than leaving it. Errors: ErrUnknownKind, or what is wrong with
// the JSON. It does not validate.
func Decode(kind string, payload []byte) (Task, Spec, error) {
	spec, ok := Lookup(kind)
	if !ok {
		return nil, Spec{}, fmt.Errorf("decoding payload: %w: %q", ErrUnknownKind, kind)
	}
	task := spec.New()
	if err := json.Unmarshal(payload, task, json.RejectUnknownMembers(true)); err != nil {
		return nil, Spec{}, fmt.Errorf("decoding payload of %s: %w", kind, err)
	}
	return task, spec, nil
}
