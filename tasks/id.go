package tasks

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"path"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Ids carry the shard of their node, so that an id alone names the hash slot
// of everything that the ledger keeps about it. They are on the wire for ever.
//
//	op_0191f3c2-7a5b-7cc1-9d7e-3f52a10b8c4e   the last byte (4e) is the shard
//	wp_4e8a1b2c3d4e5f60                       the first byte (4e) is the shard
const (
	opPrefix   = "op_"
	sitePrefix = "wp_"

	opIDLen   = len(opPrefix) + 36
	siteIDLen = len(sitePrefix) + 16
)

// NewOpID makes the id of a new op for a node. Ids of one process sort in the
// order in which they were made: UUIDv7 begins with the time, and what it has
// beyond the millisecond counts up.
func NewOpID(node string) string {
	u := uuid.Must(uuid.NewV7()) // fails only without a random source, which Go treats as fatal too
	u[len(u)-1] = shardByte(node)
	return opPrefix + u.String()
}

// DerivedOpID is the op id that follows from a seed: the same one every time, so that whoever
// crashed between deciding and submitting submits the same op again. It sorts with the ids of
// its time.
func DerivedOpID(at time.Time, node string, seed ...string) string {
	u := derived(seed)
	ms := uint64(at.UnixMilli())
	for i := range 6 {
		u[i] = byte(ms >> (8 * (5 - i)))
	}
	u[len(u)-1] = shardByte(node)
	return opPrefix + u.String()
}

// ChildOpID is the id of the op that a rollout makes for one of its installs. It sorts with
// the rollout's own.
func ChildOpID(rollout string, site SiteRef) string {
	u := derived([]string{rollout, site.ID})
	if parent, err := uuid.Parse(strings.TrimPrefix(rollout, opPrefix)); err == nil {
		copy(u[:6], parent[:6])
	}
	u[len(u)-1] = shardByte(site.Node)
	return opPrefix + u.String()
}

// derived is a UUIDv7 in form whose random bits are a hash.
func derived(seed []string) (u uuid.UUID) {
	sum := sha256.Sum256([]byte(strings.Join(seed, "\x00")))
	copy(u[:], sum[:])
	u[6], u[8] = u[6]&0x0f|0x70, u[8]&0x3f|0x80
	return u
}

// SiteID is the id of the install at path below a domain's directory. It
// depends on nothing else, so it is known before the install is there, stays
// over rescans, and two nodes or accounts never share one.
func SiteID(node, account, domain, path string) string {
	sum := sha256.Sum256([]byte(strings.Join(
		[]string{node, account, strings.ToLower(domain), cleanPath(path)}, "\x00")))
	return sitePrefix + NodeShard(node) + hex.EncodeToString(sum[:7])
}

// NodeShard is the shard of a node: two hex digits.
func NodeShard(node string) string {
	return hex.EncodeToString([]byte{shardByte(node)})
}

// Shard reads the shard out of an op id or a site id. It is false for anything
// that is not exactly one of the two, so it is also the check of an id that
// came from outside.
func Shard(id string) (string, bool) {
	switch {
	case len(id) == opIDLen && id[:len(opPrefix)] == opPrefix && isUUID(id[len(opPrefix):]):
		return id[opIDLen-2:], true
	case len(id) == siteIDLen && id[:len(sitePrefix)] == sitePrefix && isHex(id[len(sitePrefix):]):
		return id[len(sitePrefix) : len(sitePrefix)+2], true
	}
	return "", false
}

// IsOpID reports whether id has the form of an op id.
func IsOpID(id string) bool {
	_, ok := Shard(id)
	return ok && len(id) == opIDLen
}

// IsSiteID reports whether id has the form of a site id.
func IsSiteID(id string) bool {
	_, ok := Shard(id)
	return ok && len(id) == siteIDLen
}

func shardByte(node string) byte {
	h := fnv.New32a()
	h.Write([]byte(node)) // never fails
	return byte(h.Sum32() % 256)
}

// cleanPath gives one spelling to every path that names the same directory.
func cleanPath(p string) string {
	return strings.TrimPrefix(path.Clean("/"+p), "/")
}

func isUUID(s string) bool {
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !isHex(s[i : i+1]) {
				return false
			}
		}
	}
	return true
}

// isHex takes lower case only: one id has one spelling, or it would have two
// records.
func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
