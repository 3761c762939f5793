# The Go toolchain is the one thing that is asked for and not installed: distributions
# carry older ones, and replacing somebody's Go is not for a set-up script to do.
go_state() {
  local found
  go_problem=
  if ! have go; then
    go_problem="Go is missing: install $go_minimum or newer from https://go.dev/dl/ and put its bin directory in PATH"
    return
  fi
  # Asked inside the repository, so that a Go >= 1.21 answers with the toolchain that
  # go.mod names (it fetches that by itself).
  found=$(cd "$repo" && go env GOVERSION 2>/dev/null) || found=
  found=${found#go}; found=${found%%[!0-9.]*}
  at_least "${found:-0}" "$go_minimum" ||
    go_problem="Go ${found:-of an unknown version} is too old: install $go_minimum or newer from https://go.dev/dl/"
}
