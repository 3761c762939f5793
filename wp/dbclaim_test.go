package wp

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/wispanel/wptk/deploy/devstack"
)

func claimAdmin(t *testing.T, db string) *Admin {
	t.Helper()
	a, err := NewAdmin(devstack.SharedMariaDB(t).DSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.DropDatabase(context.Background(), db); err != nil {
			t.Error(err)
		}
		_ = a.Close()
	})
	if err := a.CreateDatabase(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestOneOfManyClaimsADatabase(t *testing.T) {
	t.Parallel()
	const db = "claim_race"
	a := claimAdmin(t, db)
	var wg sync.WaitGroup
	holders := make([]string, 8)
	for i := range holders {
		wg.Go(func() {
			var err error
			if holders[i], err = a.Claim(t.Context(), db, fmt.Sprint("op_", i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, holder := range holders {
		if holder == "" || holder != holders[0] {
			t.Fatalf("holders %q", holders)
		}
	}
	again, err := a.Claim(t.Context(), db, holders[0])
	if err != nil || again != holders[0] {
		t.Fatalf("the second time: %q %v", again, err)
	}
}

func TestDatabaseWithTablesIsNotClaimed(t *testing.T) {
	t.Parallel()
	const db = "claim_used"
	a := claimAdmin(t, db)
	ctx := t.Context()
	if err := a.exec(ctx, "making table", "CREATE TABLE claim_used.`od``d` (id INT)"); err != nil {
		t.Fatal(err)
	}
	if holder, err := a.Claim(ctx, db, "op_1"); holder != "" || err != nil {
		t.Fatalf("claimed by %q, %v", holder, err)
	}
	if err := a.Empty(ctx, db); err != nil {
		t.Fatal(err)
	}
	if holder, err := a.Claim(ctx, db, "op_1"); holder != "op_1" || err != nil {
		t.Fatalf("after emptying: %q, %v", holder, err)
	}
	if err := a.Empty(ctx, db); err != nil {
		t.Fatal(err)
	}
	if holder, err := a.ClaimedBy(ctx, db); holder != "op_1" || err != nil {
		t.Fatalf("emptying took the claim: %q, %v", holder, err)
	}
	for range 2 {
		if err := a.Unclaim(ctx, db); err != nil {
			t.Fatal(err)
		}
	}
	if holder, err := a.ClaimedBy(ctx, db); holder != "" || err != nil {
		t.Fatalf("after the end: %q, %v", holder, err)
	}
}

func TestClaimRefusesOwnersThatNeedQuoting(t *testing.T) {
	t.Parallel()
	a := claimAdmin(t, "claim_quote")
	for _, owner := range []string{"", "x'; DROP DATABASE mysql; --", "a b", `a\`} {
		if _, err := a.Claim(t.Context(), "claim_quote", owner); err == nil {
			t.Errorf("%q was taken", owner)
		}
	}
}

func TestUserHostIsExact(t *testing.T) {
	t.Parallel()
	a := claimAdmin(t, "claim_host")
	for dbHost, want := range map[string]string{
		"localhost": "localhost", "": "localhost", "localhost:/run/mysqld/mysqld.sock": "localhost",
		"localhost:3307": "localhost", "127.0.0.1": "127.0.0.1", "127.0.0.1:3307": "127.0.0.1", "[::1]:3306": "::1",
		"db.example:3306": "localhost", // what the server sees: the test is connected by its socket
	} {
		if got, err := a.UserHost(t.Context(), dbHost); got != want || err != nil {
			t.Errorf("UserHost(%q) = %q, %v; want %q", dbHost, got, err, want)
		}
	}
}
