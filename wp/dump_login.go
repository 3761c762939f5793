package wp

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/wp/proc"
)

// optionFile holds a login in the form of MariaDB's option files: in memory, for the tenant
// alone to read, gone with the last process that has it. So the password is neither an
// argument nor in an environment, and never on a disk.
func (h *Host) optionFile(as proc.Identity, l Login) (*os.File, error) {
	fd, err := unix.MemfdCreate("wptk-login", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making option file: %w", err)
	}
	f := os.NewFile(uintptr(fd), "wptk-login")
	_, err = f.WriteString(h.optionText(l))
	// The clients leave out a file that others can write. Root opens it for nobody but as.
	err = errors.Join(err, f.Chmod(0o400))
	if os.Geteuid() == 0 {
		err = errors.Join(err, f.Chown(int(as.UID), int(as.GID)))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("writing option file: %w", err), f.Close())
	}
	return f, nil
}

func (h *Host) optionText(l Login) string {
	var b strings.Builder
	line := func(name, value string) { b.WriteString(name + "=" + optionValue(value) + "\n") }
	b.WriteString("[client]\n")
	line("user", l.User)
	line("password", l.Password)
	network, addr := doorOf(l.Host, h.DB)
	if host, port, err := net.SplitHostPort(addr); network == "tcp" && err == nil {
		line("protocol", "tcp")
		line("host", host)
		line("port", port)
	} else {
		line("protocol", "socket")
		line("socket", addr)
	}
	return b.String()
}

// optionValue quotes by the rules of my_default.c: inside double quotes # is no comment, and
// a backslash stands for the next character.
func optionValue(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s) + `"`
}
