#!/usr/bin/env bash
# Says whether a release is whole.
#
#   deploy/goreleaser/check.sh DIST      DIST is what goreleaser has made
#
# The last line is a JSON object; the exit status is 0 only when all held.
set -uo pipefail
dist=$(cd "${1:?usage: check.sh DIST}" && pwd)
release=$dist/../bin/release
cases=0 held=0
holds() {
  local what=$1
  shift
  cases=$((cases + 1))
  if "$@"; then held=$((held + 1)) && echo "ok    $what"; else echo "FAIL  $what"; fi
}
has() { tar -tzf "$1" | grep -qx "$2"; }
runs() { tar -xzOf "$1" "$2" >"$dist/program" && chmod +x "$dist/program" && "$dist/program" --version && rm "$dist/program"; }

for arch in amd64 arm64; do
  archive=$(echo "$dist"/wptk_*_"$arch".tar.gz)
  for file in wptk wptk-api wptk-worker LICENSE README.md CHANGELOG.md docs/operations.md licences.txt; do
    holds "the archive for $arch has $file" has "$archive" "$file"
  done
  for name in wptk wptk-api wptk-worker; do
    for kind in deb rpm; do holds "$name.$kind for $arch is there" test -s "$(echo "$release/${name}"_*"_$arch.$kind")"; done
  done
done
native=$(go env GOHOSTARCH)
for name in wptk wptk-api wptk-worker; do holds "$name runs" runs "$(echo "$dist"/wptk_*_"$native".tar.gz)" "$name"; done
holds "the SBOM names what is in it" grep -q '"purl": "pkg:golang/github.com/hibiken/asynq@' "$release/wptk.cdx.json"
holds "the checksums are those of the archives" bash -c 'cd "$1" && grep "tar.gz$" SHA256SUMS | sha256sum -c --quiet && [ "$(grep -c "tar.gz$" SHA256SUMS)" = 2 ]' - "$dist"
holds "and of the packages and the SBOM" bash -c 'cd "$2" && grep -v "tar.gz$" "$1/SHA256SUMS" | sha256sum -c --quiet && [ "$(grep -Ec "(deb|rpm|json)$" "$1/SHA256SUMS")" = 13 ]' - "$dist" "$release"

met=false
[ "$held" != "$cases" ] || met=true
printf '{"name":"release","cases":%d,"held":%d,"met":%s}\n' "$cases" "$held" "$met"
[ "$met" = true ]
