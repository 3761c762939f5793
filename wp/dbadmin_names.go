package wp

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// DatabaseName makes the real name of a database, and of its user, from what an
// account asked for; with nothing asked for, a random one. It looks like
// alice_blog_k3vqm2xa: at most 31 characters (users have 32 at most), a-z, 0-9
// and _ only. The last part binds it to the account and the request, so a name
// that was asked for twice is the same twice, and two accounts with the same
// beginning never meet by chance. As a hash of 40 bits can be searched for, a
// name is no proof of ownership: creating it fails when it exists, see ErrExists.
func DatabaseName(account, requested string) string {
	if requested == "" {
		requested = randomText("abcdefghijkmnopqrstuvwxyz23456789", 8)
	}
	sum := sha256.Sum256([]byte(account + "\x00" + requested))
	tail := base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").EncodeToString(sum[:5])
	return databasePrefix(account) + namePart(requested, 11, "db") + "_" + tail
}

// databasePrefix begins all names of an account, and of others that are called alike.
func databasePrefix(account string) string { return namePart(account, 10, "a") + "_" }

// namePart keeps a-z, 0-9 and single underscores; MySQL's names are case
// sensitive on some machines only, so there are no capitals.
func namePart(s string, limit int, otherwise string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		if b.Len() == limit {
			break
		}
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9' && b.Len() > 0:
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "_"):
			b.WriteByte('_')
		}
	}
	if part := strings.TrimRight(b.String(), "_"); part != "" {
		return part
	}
	return otherwise
}
