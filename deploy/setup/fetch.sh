# Getting files from outside. Everything lands in $downloads first and is compared with
# its checksum there; nothing unverified ever reaches the package source.
downloads=$cache/downloads
unreachable=    # hosts that did not answer; each is asked once in a run

# download URL FILE: resumes a partial download. 1 = could not be had.
download() {
  local url=$1 file=$2 host code=0
  if [ "${WPTK_OFFICIAL:-1}" = 0 ]; then return 1; fi
  if [ -f "$file" ]; then return 0; fi
  host=${url#https://}; host=${host%%/*}
  case " $unreachable " in *" $host "*) return 1 ;; esac
  transfer "$url" "$file" || code=$?
  case $code in
    0) mv -f "$file.part" "$file"; return 0 ;;
    5|6|7|28|35) unreachable="$unreachable $host"; say "$host does not answer" ;;
    *) # A finished .part that was never renamed answers "range not satisfiable": once from zero.
      if [ -s "$file.part" ]; then
        rm -f "$file.part"
        if transfer "$url" "$file"; then mv -f "$file.part" "$file"; return 0; fi
      fi
      say "$url could not be downloaded (curl: $code)" ;;
  esac
  return 1
}

transfer() {
  curl -fsSL --proto =https --proto-redir =https --connect-timeout 4 \
    --speed-limit 1024 --speed-time 30 -C - -o "$2.part" "$1" 2>/dev/null
}

# checked ALGORITHM FILE HEX: true when the file has that checksum (sha1, sha256, sha512).
checked() { [ "$("$1sum" <"$2" | cut -d' ' -f1)" = "$3" ]; }

# npm_tarball NAME VERSION SHA512: sets $tarball to the verified tarball of an npm
# package. Nothing of the package is run, and npm's own cache is left as it was.
npm_tarball() {
  local name=$1 version=$2 sum=$3 work
  tarball=$downloads/$(printf %s "$name" | tr -d @ | tr / -)-$version.tgz
  if [ -f "$tarball" ] && checked sha512 "$tarball" "$sum"; then return 0; fi
  need_npm
  say "fetching npm package $name $version"
  work=$(mktemp -d "$downloads/npm.XXXXXX")
  (cd "$work" && npm pack --loglevel=error --ignore-scripts --no-update-notifier --cache "$work/cache" "$name@$version") >"$cache/npm.log" 2>&1 ||
    { tail -n 20 "$cache/npm.log" >&2; fail "npm pack $name@$version failed"; }
  mv -f "$work"/*.tgz "$tarball"
  rm -rf "$work"
  checked sha512 "$tarball" "$sum" || { rm -f "$tarball"; fail "$name $version is not what it was when it was pinned"; }
}

need_npm() {
  if have npm; then return 0; fi
  gone=' npm' apt_missing=npm
  system_install
  have npm || fail "npm is still missing after the installation"
}
