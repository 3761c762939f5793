package proc

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// sandbox takes from the calling thread, and so from what it forks, every way to gain
// privileges: no-new-privs, no ambient and inheritable capabilities, and (as root) an empty
// bounding set. The thread's own effective capabilities stay; the child loses them when it
// changes user. The bounding set must go first, since it needs CAP_SETPCAP.
func sandbox() error {
	if os.Geteuid() == 0 {
		for c := uintptr(0); ; c++ {
			err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
			if err == unix.EINVAL {
				break // beyond the kernel's last capability
			}
			if err != nil {
				return err
			}
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData // version 3 is two 32-bit halves
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return err
	}
	caps[0].Inheritable, caps[1].Inheritable = 0, 0
	if err := unix.Capset(&header, &caps[0]); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// verifySandbox checks in the child, before anything of the tenant is touched, that the
// drop has happened. Every thread of the child descends from one that had been dropped.
func verifySandbox(o *order) error {
	if o.Cred.Set {
		var uid, gid [3]int
		uid[0], uid[1], uid[2] = unix.Getresuid()
		gid[0], gid[1], gid[2] = unix.Getresgid()
		wrong := func(want uint32) func(int) bool { return func(id int) bool { return id != int(want) } }
		if slices.ContainsFunc(uid[:], wrong(o.Cred.UID)) || slices.ContainsFunc(gid[:], wrong(o.Cred.GID)) {
			return fmt.Errorf("uid %v gid %v: %w", uid, gid, unix.EPERM)
		}
		if groups, err := unix.Getgroups(); err != nil || len(groups) > 0 {
			return fmt.Errorf("groups %v: %w", groups, errors.Join(err, unix.EPERM))
		}
	}
	if !o.Sandbox {
		return nil
	}
	if nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil || nnp != 1 {
		return fmt.Errorf("no-new-privs %d: %w", nnp, errors.Join(err, unix.EPERM))
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return fmt.Errorf("reading capabilities: %w", err)
	}
	if caps != [2]unix.CapUserData{} {
		return fmt.Errorf("capabilities %v: %w", caps, unix.EPERM)
	}
	return nil
}
