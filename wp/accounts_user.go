package wp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

// reservedAccounts are names that the host's own software has, or will want once it is
// installed: whoever had the group "docker" before docker came would be root with it.
var reservedAccounts = []string{
	"_apt", "_chrony", "abuild", "adm", "admin", "amavis", "apache", "audio", "backup", "bin", "bind", "cdrom", "chrony", "clamav", "console",
	"crontab", "daemon", "dbus", "dialout", "dip", "disk", "docker", "dovecot", "exim", "fax", "floppy", "ftp", "games", "gnats", "halt",
	"hostmaster", "http", "httpd", "input", "irc", "kmem", "kvm", "libvirt", "list", "lp", "lpadmin", "lxd", "mail", "man", "memcache",
	"messagebus", "mysql", "mariadb", "named", "netdev", "news", "nginx", "nobody", "nogroup", "ntp", "operator", "plugdev", "podman",
	"polkitd", "postfix", "postgres", "postmaster", "proftpd", "proxy", "pulse", "redis", "render", "root", "rpc", "sasl", "sgx", "shadow",
	"shutdown", "src", "ssh", "sshd", "staff", "sudo", "sync", "sys", "syslog", "systemd", "tape", "tcpdump", "toor", "tss", "tty", "users",
	"utmp", "uucp", "valkey", "vboxusers", "video", "voice", "webmaster", "wheel", "wireshark", "wptk", "www", "www-data",
}

// ValidNewAccount checks a name that is to become a Unix user and its group.
func ValidNewAccount(account string) string {
	if reason := ValidAccount(account); reason != "" {
		return reason
	}
	if slices.Contains(reservedAccounts, account) || len(account) > 8 && account[:8] == "systemd-" {
		return "is a name that the host's own software uses; choose another one"
	}
	return ""
}

// makeUser adds the user of the plan: a group of its own, no login, the next free number that
// the host has for people. The mark tells an attempt that comes after a crash whose it is.
func (a *Accounts) makeUser(ctx context.Context, n NewAccount) error {
	if !n.Made.User {
		return nil
	}
	switch u, err := user.Lookup(n.Account); {
	case err == nil && u.Name != n.mark():
		return fmt.Errorf("%w: somebody else has made it meanwhile", ErrAccountTaken)
	case err != nil:
		var unknown user.UnknownUserError
		if !errors.As(err, &unknown) {
			return fmt.Errorf("looking up user: %w", err)
		}
		err := shadow(ctx, "useradd", "--comment", n.mark(), "--home-dir", a.home(n), "--no-create-home",
			"--shell", nologin(), "--user-group", "--", n.Account)
		if err != nil {
			return err
		}
	}
	// Where login.defs has numbers of its own, they may not be those of tenants.
	if _, err := a.layout.identity(n.Account); err != nil {
		return fmt.Errorf("adding user: %w", err)
	}
	return nil
}

func (a *Accounts) removeUser(ctx context.Context, n NewAccount) error {
	u, err := user.Lookup(n.Account)
	var unknown user.UnknownUserError
	switch {
	case errors.As(err, &unknown):
		return nil
	case err != nil:
		return fmt.Errorf("looking up user: %w", err)
	case u.Name != n.mark():
		return nil // never made, and now another's
	}
	if err := shadow(ctx, "userdel", "--", n.Account); err != nil {
		return err
	}
	// userdel takes the group along where login.defs says USERGROUPS_ENAB yes.
	if g, err := user.LookupGroup(n.Account); err == nil && g.Gid == u.Gid {
		return shadow(ctx, "groupdel", "--", n.Account)
	}
	return nil
}

func nologin() string {
	for _, path := range []string{"/usr/sbin/nologin", "/sbin/nologin"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return "/bin/false"
}

const (
	shadowTime = 30 * time.Second
	shadowTurn = 200 * time.Millisecond
)

// shadow runs a tool of the shadow suite. They give up at once when another one has the lock
// of /etc/passwd, so they are tried again for a while.
func shadow(ctx context.Context, tool string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, shadowTime)
	defer cancel()
	path := ""
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if info, err := os.Stat(filepath.Join(dir, tool)); err == nil && info.Mode().IsRegular() {
			path = filepath.Join(dir, tool)
			break
		}
	}
	if path == "" {
		return fmt.Errorf("%w: the host has no %s", ErrNotOffered, tool)
	}
	for {
		out := proc.Capped(8 << 10)
		exit, err := proc.Run(ctx, proc.Spec{Path: path, Args: args, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/"},
			Stdout: out, Stderr: out, Trusted: true})
		if err == nil && exit.Code == 0 {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("exit status %d: %s", exit.Code, cleanLine(string(out.Bytes()), 500))
		}
		// useradd(8), userdel(8): 1 and 10 are files that are locked, 8 a process that is just dying.
		if exit.Code != 1 && exit.Code != 10 && exit.Code != 8 {
			return fmt.Errorf("running %s: %w", tool, err)
		}
		select {
		case <-time.After(shadowTurn):
		case <-ctx.Done():
			return fmt.Errorf("running %s: %w", tool, err)
		}
	}
}
