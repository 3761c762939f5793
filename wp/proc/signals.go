package proc

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernelSigaction is struct sigaction as the kernel has it on every 64-bit Linux.
type kernelSigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const (
	sigDefault = 0
	sigIgnored = 1
	lastSignal = 64
)

// resetSignals gives every ignored signal its default back. Handlers end with execve,
// ignoring is inherited: from nohup, and from every program that glibc's posix_spawn has
// started (make, for one), which leaves its two internal signals ignored.
func resetSignals() error {
	for sig := uintptr(1); sig <= lastSignal; sig++ {
		var now kernelSigaction
		if err := sigaction(sig, nil, &now); err != nil || now.handler != sigIgnored {
			continue // EINVAL: SIGKILL, SIGSTOP
		}
		if err := sigaction(sig, &kernelSigaction{handler: sigDefault}, nil); err != nil {
			return err
		}
	}
	return nil
}

func sigaction(sig uintptr, set, was *kernelSigaction) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig,
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(was)), unsafe.Sizeof(kernelSigaction{}.mask), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
