package proc

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
)

// fallbackMinUID is UID_MIN of every distribution we support, for hosts without login.defs.
const fallbackMinUID = 1000

// minUID is the lowest uid of a human or tenant account on this host. Accounts below it
// own services (www-data is 33), so tenant code must not run as one of them.
var minUID = sync.OnceValue(func() uint32 {
	f, err := os.Open("/etc/login.defs")
	if err != nil {
		return fallbackMinUID
	}
	defer f.Close()
	return parseMinUID(f)
})

// parseMinUID reads UID_MIN from login.defs(5). A host may raise the bound but not lower
// it below fallbackMinUID: a typing error there must not open the system accounts.
func parseMinUID(r io.Reader) uint32 {
	for sc := bufio.NewScanner(r); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) < 2 || fields[0] != "UID_MIN" {
			continue
		}
		if n, err := strconv.ParseUint(fields[1], 10, 32); err == nil && n > fallbackMinUID {
			return uint32(n)
		}
	}
	return fallbackMinUID
}

// credential is the decision about whom the child runs as.
type credential struct {
	UID, GID uint32
	Set      bool // change to UID, GID with no supplementary groups
}

// credentialFor applies the identity rules for a worker that runs as euid, egid.
func credentialFor(as Identity, trusted bool, euid, egid uint32) (credential, error) {
	zero := as.UID == 0 && as.GID == 0
	// The kernel reads (uid_t)-1 as "leave unchanged", which would leave root in place.
	if as.UID == math.MaxUint32 || as.GID == math.MaxUint32 {
		return credential{}, fmt.Errorf("%w: uid %d gid %d", ErrIdentity, as.UID, as.GID)
	}
	if euid != 0 {
		if zero || (as.UID == euid && as.GID == egid) {
			return credential{UID: euid, GID: egid}, nil
		}
		return credential{}, fmt.Errorf("%w: uid %d gid %d, and uid %d cannot change user", ErrIdentity, as.UID, as.GID, euid)
	}
	switch {
	case trusted && zero:
		return credential{UID: 0, GID: egid}, nil
	case trusted:
		return credential{UID: as.UID, GID: as.GID, Set: true}, nil
	case as.UID == 0 || as.GID == 0:
		return credential{}, fmt.Errorf("%w: uid %d gid %d is root", ErrIdentity, as.UID, as.GID)
	case as.UID < minUID():
		return credential{}, fmt.Errorf("%w: uid %d is below %d, a system account", ErrIdentity, as.UID, minUID())
	}
	return credential{UID: as.UID, GID: as.GID, Set: true}, nil
}
