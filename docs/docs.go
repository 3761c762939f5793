// Package docs has the documents that programs read, too.
package docs

import _ "embed"

// API is the guide to the HTTP API. `wptk e2e` and a test do what its curl lines do, and
// compare what they print with what it shows.
//
//go:embed api.md
var API string
