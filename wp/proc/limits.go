package proc

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Limits bound one run with setrlimit(2), soft and hard alike. Zero is the value of
// DefaultLimits, and for a Trusted run "as inherited". Core dumps are always off for
// tenants: a core file holds database passwords.
type Limits struct {
	CPUSeconds   uint64 // per process
	AddressSpace uint64 // bytes, per process
	FileSize     uint64 // bytes, per file written
	Processes    uint64 // of the user as a whole, other programs of the same user counted
	OpenFiles    uint64 // per process
}

// DefaultLimits is what a tenant's run gets: room for the largest honest WP-CLI command
// (a database import, a big plugin update), not for a miner or a fork bomb.
func DefaultLimits() Limits {
	return Limits{
		CPUSeconds:   3600,
		AddressSpace: 4 << 30,
		FileSize:     16 << 30,
		Processes:    512,
		OpenFiles:    4096,
	}
}

// rlimit is one setrlimit call of the child, as it travels to it.
type rlimit struct {
	Resource int
	Value    uint64
}

// rlimits lists the calls for a run. ownUser says that the child has a user of its own; if
// it shares the invoking user, the default for Processes is left out, since a desktop
// session alone may own more processes than that.
func (l Limits) rlimits(trusted, ownUser bool) []rlimit {
	def := DefaultLimits()
	if trusted {
		def = Limits{}
	}
	if !ownUser {
		def.Processes = 0
	}
	var out []rlimit
	add := func(resource int, value, fallback uint64) {
		if value == 0 {
			value = fallback
		}
		if value != 0 {
			out = append(out, rlimit{resource, value})
		}
	}
	add(unix.RLIMIT_CPU, l.CPUSeconds, def.CPUSeconds)
	add(unix.RLIMIT_AS, l.AddressSpace, def.AddressSpace)
	add(unix.RLIMIT_FSIZE, l.FileSize, def.FileSize)
	add(unix.RLIMIT_NPROC, l.Processes, def.Processes)
	add(unix.RLIMIT_NOFILE, l.OpenFiles, def.OpenFiles)
	if !trusted {
		out = append(out, rlimit{unix.RLIMIT_CORE, 0})
	}
	return out
}

// applyLimits sets the limits on the calling process. One that is lower already stays:
// without privileges it could not be raised, with them it should not be.
func applyLimits(limits []rlimit) error {
	for _, l := range limits {
		var now syscall.Rlimit
		if err := syscall.Getrlimit(l.Resource, &now); err != nil {
			return fmt.Errorf("reading limit %d: %w", l.Resource, err)
		}
		value := min(l.Value, now.Max)
		if err := syscall.Setrlimit(l.Resource, &syscall.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("setting limit %d to %d: %w", l.Resource, value, err)
		}
	}
	return nil
}
