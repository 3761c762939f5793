package tasks

import "slices"

// manyKinds are the kinds that one request may ask of many installs at once. None has a
// secret in its payload, as one payload serves all nodes, and none makes or ends an install.
var manyKinds = []string{
	"backup",
	"cache.enable", "cache.disable", "cache.flush", "cache.purge",
	"core.update", "core.reinstall", "checksums.verify",
	"maintenance", "search.replace", "site.inspect",
	"plugin.install", "plugin.activate", "plugin.deactivate", "plugin.update", "plugin.delete",
	"theme.install", "theme.activate", "theme.deactivate", "theme.update", "theme.delete",
	"security.disable-file-edit", "security.toggle-debug", "security.file-protection", "security.hide-login",
	"security.measure",
}

// timedKinds are those of them that a schedule may ask for.
var timedKinds = []string{"backup", "core.update", "plugin.update", "theme.update", "checksums.verify", "site.inspect"}

// brokenKinds are those of them that a broken install may well need.
var brokenKinds = []string{"backup", "core.reinstall", "checksums.verify", "site.inspect", "maintenance"}

// ForMany reports whether a kind may be asked of many installs at once.
func ForMany(kind string) bool { return slices.Contains(manyKinds, kind) }

// Timed reports whether a schedule may ask for a kind.
func Timed(kind string) bool { return slices.Contains(timedKinds, kind) && knows(kind) }

// TimedKinds lists the kinds that a schedule may ask for.
func TimedKinds() []string {
	return slices.DeleteFunc(slices.Clone(timedKinds), func(k string) bool { return !knows(k) })
}

// ForBroken reports whether a kind makes sense on an install that does not work.
func ForBroken(kind string) bool { return slices.Contains(brokenKinds, kind) }

func knows(kind string) bool {
	_, ok := Lookup(kind)
	return ok
}
