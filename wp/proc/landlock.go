package proc

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Landlock keeps a tenant's run to the files of the system, which it may read, and to its
// own, which it may change, whatever modes other files have. It holds for everything that
// the run starts, and the run cannot lift it. From Linux 6.12 on the run also signals none
// but its own processes, and reaches abstract sockets of no others.
type Landlock struct {
	abi  int
	read []string
}

// ErrNoLandlock says that the kernel cannot do what Landlock needs.
var ErrNoLandlock = errors.New("no landlock")

// leastABI can move files between directories (Linux 5.19); with the one before, programs
// that replace directories by rename cannot work.
const leastABI = 2

// systemPaths are what programs of a distribution read. What a tenant may not read there,
// modes keep from it.
var systemPaths = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/etc", "/nix", "/proc", "/sys", "/dev", "/run",
	"/var/lib/php", "/var/lib/php-fpm", "/var/cache/fontconfig",
}

// OpenLandlock prepares it; read are more files and directories that all runs may read.
func OpenLandlock(read ...string) (*Landlock, error) {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch {
	case errno != 0:
		return nil, fmt.Errorf("%w: the kernel is without it, or was started without it (lsm=): %w", ErrNoLandlock, errno)
	case abi < leastABI:
		return nil, fmt.Errorf("%w: the kernel has version %d, %d is needed (Linux 5.19)", ErrNoLandlock, abi, leastABI)
	}
	return &Landlock{abi: int(abi), read: read}, nil
}

// ABI is the kernel's version of it.
func (l *Landlock) ABI() int { return l.abi }

// walls is what a child may reach, on its way to it.
type walls struct {
	ABI         int
	Read, Write [][]byte
}

// walls lists what a run may reach: files of the system, the program, and of its own what
// its identity has and what the Spec adds.
func (l *Landlock) walls(s *Spec) *walls {
	if l == nil {
		return nil
	}
	w := &walls{ABI: l.abi, Read: toBytes(append(append([]string{s.Path}, systemPaths...), l.read...))}
	for _, path := range append(append(filepath.SplitList(s.As.Tree), s.As.Home), s.Writable...) {
		if filepath.IsAbs(path) && path != "/" {
			w.Write = append(w.Write, []byte(path))
		}
	}
	return w
}

const (
	fileRights = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	readRights = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	// devices are opened to write (/dev/null), not made.
	deviceRights = readRights | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
)

// rightsOf are all that a version of the kernel's interface can refuse.
func rightsOf(abi int) uint64 {
	all := uint64(unix.LANDLOCK_ACCESS_FS_IOCTL_DEV)<<1 - 1
	if abi < 5 {
		all &^= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi < 3 {
		all &^= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	return all
}

// enclose restricts the calling thread, and what it becomes by execve. It runs in the child,
// which is the tenant: no path is followed with more rights than it has.
func (w *walls) enclose() error {
	if w == nil {
		return nil
	}
	all := rightsOf(w.ABI)
	rules := unix.LandlockRulesetAttr{Handled_access_fs: all}
	size := unsafe.Sizeof(rules.Handled_access_fs) // an older kernel refuses fields that it does not know
	if w.ABI >= 6 {
		rules.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
		size = unsafe.Offsetof(rules.Quiet_access_fs)
	}
	set, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&rules)), size, 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(set))
	for _, path := range toStrings(w.Read) {
		rights := uint64(readRights)
		if path == "/dev" {
			rights = deviceRights
		}
		if err := allow(int(set), path, 0, rights&all); err != nil {
			return err
		}
	}
	for _, path := range toStrings(w.Write) {
		// Nobody's own directory is a link to another one.
		if err := allow(int(set), path, unix.O_NOFOLLOW|unix.O_DIRECTORY, all); err != nil {
			return err
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, set, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// allow opens what is below a path. What is not there needs no rule.
func allow(set int, path string, flags int, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return nil //nolint:nilerr // without a rule it stays shut
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= fileRights
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(set), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// encloseCall is the first life of the child of a Call. Restricting is a matter of one
// thread, and a Go program has several: so it is done on one, which then becomes this binary
// once more. The order, which is read already, goes along in memory. It returns only failure.
func encloseCall() int {
	runtime.LockOSThread()
	gate := rawFD(controlFD)
	var o order
	f := failed(stageUnknown, unix.EIO)
	if err := json.NewDecoder(gate).Decode(&o); err == nil {
		f = becomeCall(&o)
	}
	_ = json.NewEncoder(gate).Encode(f)
	return exitHelper
}

func becomeCall(o *order) *failure {
	if err := verifySandbox(o); err != nil {
		return failed(stageVerify, err)
	}
	fd, err := unix.MemfdCreate("wptk-order", 0)
	if err != nil {
		return failed(stageDescriptors, err)
	}
	if err := json.NewEncoder(rawFD(fd)).Encode(o); err != nil {
		return failed(stageDescriptors, err)
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		return failed(stageDescriptors, err)
	}
	if err := o.Walls.enclose(); err != nil {
		return failed(stageEnclose, err)
	}
	return failed(stageExec, syscall.Exec(selfExe, []string{roleCall, strconv.Itoa(fd)}, os.Environ()))
}

// orderFD is where this child's order is: at the gate, or where becomeCall has put it.
func orderFD() (fd rawFD, kept bool) {
	if len(os.Args) == 2 && os.Args[0] == roleCall {
		if n, err := strconv.Atoi(os.Args[1]); err == nil && n > controlFD {
			return rawFD(n), true
		}
	}
	return controlFD, false
}
