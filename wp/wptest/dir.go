package wptest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/wispanel/wptk/wp/proc"
)

// TenantUID is the first of the user ids that tests use for tenants when they run as root.
// No such user has to exist.
const TenantUID = 20000

// Dir makes a directory that other users can enter, which t.TempDir is not.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wptk-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing test directory: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Tenant is the user that an account's processes run as in tests: a made-up one for root,
// everybody else themselves.
func Tenant(account string) (proc.Identity, error) {
	if uid := os.Geteuid(); uid != 0 {
		return proc.Identity{UID: uint32(uid), GID: uint32(os.Getegid()), Name: account}, nil
	}
	uid := uint32(TenantUID)
	for _, b := range []byte(account) {
		uid += uint32(b)
	}
	return proc.Identity{UID: uid, GID: uid, Name: account}, nil
}

// Domain makes the directory of a domain below home, owned by its account: what the layout
// home/*/domains/* looks for. It returns the directory.
func Domain(t testing.TB, home, account, domain string) string {
	t.Helper()
	who, err := Tenant(account)
	if err != nil {
		t.Fatal(err)
	}
	dir := home
	for _, part := range []string{account, "domains", domain} {
		dir = filepath.Join(dir, part)
		if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
		if err := os.Lchown(dir, int(who.UID), int(who.GID)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
