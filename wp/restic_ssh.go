package wp

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
)

// ResticSSH says how a store behind sftp: is reached. Empty fields are what ssh itself has for
// the worker's user.
type ResticSSH struct {
	Key        string // file with the private key
	KnownHosts string // file with the keys of hosts
}

var (
	sshHost = regexp.MustCompile(`^[A-Za-z0-9\[][A-Za-z0-9.:\[\]_-]*$`)
	sshUser = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@-]*$`)
	sshFile = regexp.MustCompile(`^/[A-Za-z0-9_./@:+-]*$`)
)

// command is what restic starts for sftp, which it splits at blanks as a shell would. A host
// that is not known is refused, and nothing ever asks: nobody would be there to answer.
// restic has sftp.args for that since 0.16 only.
func (s ResticSSH) command(address string) (string, error) {
	user, host, port, err := sshAddress(address)
	if err != nil {
		return "", err
	}
	for _, file := range []string{s.Key, s.KnownHosts} {
		if file != "" && (!sshFile.MatchString(file) || filepath.Clean(file) != file) {
			return "", fmt.Errorf("reading options of ssh: %q is no plain absolute path", file)
		}
	}
	args := []string{"ssh", "-oBatchMode=yes", "-oStrictHostKeyChecking=yes", "-oConnectTimeout=30", "-oServerAliveInterval=30"}
	if s.Key != "" {
		args = append(args, "-oIdentitiesOnly=yes", "-i", s.Key)
	}
	if s.KnownHosts != "" {
		args = append(args, "-oUserKnownHostsFile="+s.KnownHosts, "-oGlobalKnownHostsFile=/dev/null")
	}
	if port != "" {
		args = append(args, "-p", port)
	}
	if user != "" {
		args = append(args, "-l", user)
	}
	return strings.Join(append(args, "-s", "--", host, "sftp"), " "), nil
}

// sshAddress reads both forms that restic has: sftp:user@host:/path and sftp://user@host:port/path.
func sshAddress(address string) (user, host, port string, err error) {
	rest := strings.TrimPrefix(address, "sftp:")
	if strings.HasPrefix(rest, "//") {
		u, err := url.Parse(address)
		if err != nil {
			return "", "", "", errors.New("reading backup address: sftp:// is followed by what is no address")
		}
		user, host, port = u.User.Username(), u.Hostname(), u.Port()
	} else {
		at, _, found := strings.Cut(rest, ":/")
		if !found { // relative to the home over there
			at, _, _ = strings.Cut(rest, ":")
		}
		if i := strings.LastIndexByte(at, '@'); i >= 0 {
			user, at = at[:i], at[i+1:]
		}
		host = at
	}
	if !sshHost.MatchString(host) || user != "" && !sshUser.MatchString(user) {
		return "", "", "", errors.New("reading backup address: sftp: needs user@host:/path or sftp://user@host:port//path")
	}
	return user, host, port, nil
}
