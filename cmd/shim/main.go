// Command wptk-shim stands in for PHP and WP-CLI in `wptk chaos`, where a worker is given
// it as --php: it does to the database what an install would, in milliseconds, misbehaves
// where it is told to, and writes down when each command began and ended on which site.
// It is no part of a node.
package main

import (
	"fmt"
	"os"
)

func main() {
	s, err := open(os.Args[1:])
	if err == nil {
		err = s.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}
