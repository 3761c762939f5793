package queue

import (
	"os"
	"testing"

	"github.com/wispanel/wptk/deploy/devstack"
)

func TestMain(m *testing.M) { os.Exit(devstack.Main(m)) }
