#!/usr/bin/env bash
# Makes deb and rpm packages of the API, the worker and the command line.
#
#   deploy/packages/build.sh DIR     DIR gets the packages and SHA256SUMS
#
# VERSION   of the packages (default: the tag at HEAD, else 0.0.0~DATE.REVISION)
# ARCH      amd64 (default: this machine's) or arm64
#
# The same commit gives the same bytes, wherever and whenever it is built: paths are cut
# out, and every time in a package is the commit's.
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
out=${1:?usage: build.sh DIR}
mkdir -p "$out"
out=$(cd "$out" && pwd)
go=${GO:-go}

cd "$repo"
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export ARCH=${ARCH:-$("$go" env GOARCH)}
if [ -z "${VERSION:-}" ]; then
  if tag=$(git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null); then VERSION=${tag#v}
  else VERSION=0.0.0~$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d).$(git rev-parse --short=8 HEAD); fi
fi
export VERSION
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

# compile NAME SOURCE DIR [GOARCH]
compile() {
  CGO_ENABLED=0 GOOS=linux GOARCH=${4:-$ARCH} "$go" build -trimpath -buildvcs=false -o "$3/$1" \
    -ldflags "-s -w -buildid= -X github.com/wispanel/wptk/cmd/internal/boot.version=$VERSION" "./cmd/$2"
}
mkdir -p "$stage"/{bin,man,completion}
cp -r "$here"/{units,settings} "$stage"
native=$stage/bin
if [ "$ARCH" != "$("$go" env GOHOSTARCH)" ]; then native=$stage/native; fi
for program in wptk-api:api wptk-worker:worker wptk:wptk; do
  name=${program%:*} source=${program#*:}
  compile "$name" "$source" "$stage/bin"
  [ "$native" = "$stage/bin" ] || compile "$name" "$source" "$native" "$("$go" env GOHOSTARCH)"
done

# What the programs say about themselves.
for name in wptk-api wptk-worker; do
  "$native/$name" --man | gzip -n9 >"$stage/man/$name.8.gz"
  "$native/$name" --example >>"$stage/settings/${name#wptk-}.yaml"
  mkdir -p "$stage/scripts/$name"
  for script in postinstall preremove postremove; do
    sed "s/@UNIT@/$name/g" "$here/scripts/$script.sh" >"$stage/scripts/$name/$script.sh"
  done
done
"$native/wptk" --man | gzip -n9 >"$stage/man/wptk.1.gz"
for shell in bash zsh fish; do "$native/wptk" completion "$shell" >"$stage/completion/$shell"; done

(cd "$repo/deploy/release" && "$go" build -o "$stage/nfpm" github.com/goreleaser/nfpm/v2/cmd/nfpm && "$go" build -o "$stage/terms" ./licences)
cd "$stage"
# Whoever passes a program on passes on the terms of what is in it.
cp "$repo/LICENSE" copyright
GOROOT=$("$go" env GOROOT) GOMODCACHE=$("$go" env GOMODCACHE) ./terms --texts licences bin/* >terms.log || { cat terms.log >&2; exit 1; }
gzip -n9 licences
made=()
for name in wptk wptk-api wptk-worker; do
  cat "$here/common.yaml" "$here/$name.yaml" >"$name.yaml"
  for kind in deb rpm; do
    file=${name}_${VERSION}_$ARCH.$kind
    ./nfpm package --config "$name.yaml" --packager "$kind" --target "$out/$file" >nfpm.log 2>&1 || { cat nfpm.log >&2; exit 1; }
    made+=("$file")
  done
done
cd "$out"
sha256sum "${made[@]}" >SHA256SUMS
echo "made ${#made[@]} packages of $VERSION for $ARCH in $out"
