package main

import (
	"os"
	"testing"

	"github.com/wispanel/wptk/deploy/devstack"
)

func TestMain(m *testing.M) {
	os.Exit(devstack.Main(m)) // this binary is also the supervisor of every child
}
