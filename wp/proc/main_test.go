package proc

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

// tenant is an identity for runs under test: a user of its own when the tests run as root
// (no account is needed), else the invoking user.
func tenant() Identity {
	if os.Geteuid() != 0 {
		return Identity{}
	}
	return Identity{UID: 23456, GID: 23457, Home: "/nonexistent"}
}
