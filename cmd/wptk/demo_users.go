package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

// The demo's Unix users have names that nobody else would choose: only such are removed.
const userPrefix = "wptkdemo"

var demoUser = regexp.MustCompile(`^` + userPrefix + `[0-9a-f]{8}$`)

func newUserName() string {
	b := make([]byte, 4)
	rand.Read(b) // never fails, see crypto/rand
	return userPrefix + hex.EncodeToString(b)
}

// addUser makes a Unix user without a log-in. The state knows it first.
func addUser(ctx context.Context, state *runState, name, home string) (proc.Identity, error) {
	if err := state.willAddUser(name); err != nil {
		return proc.Identity{}, err
	}
	err := accounts(ctx, "useradd", "--no-create-home", "--home-dir", home, "--shell", "/usr/sbin/nologin",
		"--comment", "WisPanel toolkit demo", "--user-group", name)
	if err != nil {
		return proc.Identity{}, fmt.Errorf("adding user %s: %w", name, err)
	}
	return identityOf(name)
}

func identityOf(name string) (proc.Identity, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return proc.Identity{}, fmt.Errorf("looking up user: %w", err)
	}
	uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(errUID, errGID); err != nil {
		return proc.Identity{}, fmt.Errorf("looking up user %s: %w", name, err)
	}
	return proc.Identity{UID: uint32(uid), GID: uint32(gid), Name: name, Home: u.HomeDir}, nil
}

// removeUser removes a user of the demo and its group; one that is gone is no error.
func removeUser(ctx context.Context, name string) error {
	if !demoUser.MatchString(name) {
		return fmt.Errorf("removing user %q: not one of the demo", name)
	}
	if userExists(name) {
		if err := accounts(ctx, "userdel", name); err != nil {
			return fmt.Errorf("removing user %s: %w", name, err)
		}
	}
	// userdel takes the group along where login.defs says USERGROUPS_ENAB yes.
	if groupExists(name) {
		if err := accounts(ctx, "groupdel", name); err != nil {
			return fmt.Errorf("removing group %s: %w", name, err)
		}
	}
	return nil
}

func userExists(name string) bool {
	_, err := user.Lookup(name)
	var unknown user.UnknownUserError
	return !errors.As(err, &unknown)
}

func groupExists(name string) bool {
	_, err := user.LookupGroup(name)
	var unknown user.UnknownGroupError
	return !errors.As(err, &unknown)
}

// accounts runs a tool of the shadow suite. They lock /etc/passwd and give up at once
// when somebody else has it, so they are tried again for a while.
func accounts(ctx context.Context, tool string, args ...string) error {
	path, err := program(tool)
	if err != nil {
		return err
	}
	const tries = 25
	for try := 1; ; try++ {
		var out bytes.Buffer
		exit, err := proc.Run(ctx, proc.Spec{Path: path, Args: args, Env: toolEnv, Stdout: &out, Stderr: &out, Trusted: true})
		switch {
		case err != nil:
			return err
		case exit.Code == 0:
			return nil
		// useradd(8), userdel(8): 1 and 10 are the locked files, 8 a process that is just dying.
		case try == tries || exit.Code != 1 && exit.Code != 10 && exit.Code != 8:
			return fmt.Errorf("%s: exit status %d: %s", tool, exit.Code, clean(out.String()))
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

var toolEnv = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/"}

// program finds an executable by name, also where only root's PATH looks.
func program(name string) (string, error) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/local/bin", "/usr/bin", "/usr/sbin", "/sbin") {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && filepath.IsAbs(path) && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("finding %s: not installed, run make setup", name)
}
