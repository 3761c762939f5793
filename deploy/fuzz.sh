#!/usr/bin/env bash
# Runs every fuzz target of some packages (all without arguments) in turn, each for FUZZTIME (10s when it is not set), and goes on
# after one that fails. Go keeps an input that breaks a promise in the package's testdata/fuzz, from where
# every later test run tries it again: commit it with the repair. The last line of output is the result.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
fuzztime=${FUZZTIME:-10s}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# A line "package target" for each; a package that does not compile ends the run here.
"$go" test -vet=off -list '^Fuzz' "${@:-./...}" >"$log"
mapfile -t all < <(awk '/^Fuzz/ { names[n++] = $1 } /^ok / { for (i = 0; i < n; i++) print $2, names[i]; n = 0 }' FS='[ \t]+' "$log")

held=0 executions=0
for line in "${all[@]}"; do
  read -r package target <<<"$line"
  verdict=broken ok=false
  if "$go" test -vet=off -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" "$package" >"$log" 2>&1; then
    ok=true
  fi
  count=$(sed -n 's/.* execs: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
  executions=$((executions + ${count:-0}))
  if [ "$ok" = true ] && [ "${count:-0}" -gt 0 ]; then # one that had no time for any has shown nothing
    verdict=held
    held=$((held + 1))
  fi
  printf '%-8s %10d executions  %s %s\n' "$verdict" "${count:-0}" "$package" "$target"
  [ "$verdict" = held ] || cat "$log"
done

met=false
if [ "${#all[@]}" -gt 0 ] && [ "$held" = "${#all[@]}" ]; then met=true; fi
printf '{"name":"fuzz","targets":%d,"held":%d,"executions":%d,"seconds":%d,"met":%s}\n' "${#all[@]}" "$held" "$executions" "$SECONDS" "$met"
[ "$met" = true ]
