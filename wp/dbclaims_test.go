package wp

import (
	"slices"
	"testing"

	"github.com/wispanel/wptk/deploy/devstack"
)

func TestClaimedDatabaseIsDroppedWithItsUserWhileItIsClaimed(t *testing.T) {
	t.Parallel()
	a, err := NewAdmin(devstack.SharedMariaDB(t).DSN())
	must(t, err)
	t.Cleanup(func() { _ = a.Close() })
	h, ctx := &Host{DB: a, DBHost: "127.0.0.1:3306"}, t.Context()
	const site, op = "orphania_site", "op_left_over"
	made := DatabaseName("orphania", "copy")
	for _, name := range []string{site, made} {
		must(t, a.CreateDatabase(ctx, name), a.CreateUser(ctx, name, "127.0.0.1", "x"), a.Grant(ctx, name, name, "127.0.0.1"))
	}
	_, err = a.Claim(ctx, made, op)
	must(t, err)
	fresh, err := h.FreshSchema(ctx, op, site, site, "127.0.0.1")
	must(t, err)
	mine := func() (mine []ClaimedDatabase) {
		all, err := a.Claims(ctx)
		must(t, err)
		return slices.DeleteFunc(all, func(c ClaimedDatabase) bool { return c.Owner != op })
	}
	want := []ClaimedDatabase{{Name: made, Owner: op}, {Name: fresh, Owner: op, Fresh: true}}
	if got := mine(); !slices.Equal(got, want) {
		t.Fatalf("%+v, want %+v", got, want)
	}
	must(t, h.DropClaimed(ctx, "orphania", ClaimedDatabase{Name: made, Owner: "op_of_another"}), h.DropClaimed(ctx, "orphania", ClaimedDatabase{Name: site, Owner: op}))
	if err := h.DropClaimed(ctx, "bob", want[0]); err == nil {
		t.Error("a database was dropped for another account")
	}
	if got := mine(); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	must(t, h.DropClaimed(ctx, "orphania", want[0]), h.DropClaimed(ctx, "orphania", want[1]))
	user, err := a.UserExists(ctx, made, "127.0.0.1")
	must(t, err)
	kept, err := a.UserExists(ctx, site, "127.0.0.1")
	must(t, err)
	if there, err := a.DatabaseExists(ctx, site); err != nil || user || !kept || !there || len(mine()) != 0 {
		t.Errorf("user of the copy: %t, of the site: %t, its database: %t, left %+v, %v", user, kept, there, mine(), err)
	}
}
