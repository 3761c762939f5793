// Package wp is WordPress as a Go API: installs, the commands of WP-CLI that work on
// them, their files, configuration and databases.
//
// The code of an install is hostile to us. Nothing here runs it, or follows a path inside
// its tree, as any other user than the install's own; package proc is the wall. A Site can
// only come out of a Layout, which has looked at the disk, and a Command only out of the
// typed methods of CLI, so neither a path nor an argument from a request reaches WP-CLI
// unchecked.
//
// One file per WP-CLI command family holds, in this order, the method (typed in, typed
// out), the pure builder of its arguments and the pure parser of its output.
package wp
