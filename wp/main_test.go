package wp

import (
	"os"
	"testing"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp/wptest"
)

func TestMain(m *testing.M) {
	wptest.Main() // this binary also plays PHP
	code := devstack.Main(m)
	wptest.Cleanup()
	os.Exit(code)
}
