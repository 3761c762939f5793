package devstack

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// owner is the Unix user that a server runs as. Root hands its servers to an account
// without rights; anyone else can only run them as itself.
type owner struct {
	uid, gid uint32
	set      bool // false: the invoking user
}

// serverOwner picks the first of the accounts that exists. Every Debian has nobody; the
// account of the server's own package is better, since it owns nothing else.
func serverOwner(accounts ...string) (owner, error) {
	if os.Geteuid() != 0 {
		return owner{}, nil
	}
	for _, name := range append(accounts, "nobody") {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return owner{}, fmt.Errorf("reading uid of %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return owner{}, fmt.Errorf("reading gid of %s: %w", name, err)
		}
		return owner{uid: uint32(uid), gid: uint32(gid), set: true}, nil
	}
	return owner{}, fmt.Errorf("finding an account for servers: none of %v and nobody exists", accounts)
}

// give makes path the server's own. Paths are always inside a base folder that only we
// can write to.
func (o owner) give(path string) error {
	if !o.set {
		return nil
	}
	if err := os.Lchown(path, int(o.uid), int(o.gid)); err != nil {
		return fmt.Errorf("handing %s to the server: %w", path, err)
	}
	return nil
}
