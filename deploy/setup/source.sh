# The package source: a local directory that answers what wordpress.org answers elsewhere.
# Workers read it as root and tenants read it too, hence world-readable, no symbolic links.
#
#   wp-cli/{wp-cli.phar,wp-cli.phar.sha256,version}
#   core/LATEST                    version of the newest core
#   core/<version>/wordpress/      the tree;  SHA256SUMS: its manifest, paths relative to it
#   core/<version>/languages/      what goes to wp-content/languages; LOCALES: which there are
#   core/<version>/SOURCE          where it came from; EXTENSIONS: the archives made from it
#   plugins/<slug>/<version>.zip   themes/<slug>/<version>.zip
#
# A folder appears complete or not at all: it is made beside its place, then renamed.
. "$here/setup/core.sh"

# source_missing sets $source_lacks, in the order in which things are built.
source_missing() {
  local version
  source_lacks=
  if [ "$(cat "$packages/wp-cli/version" 2>/dev/null)" != "$wp_cli_version" ]; then source_lacks=" wp-cli"; fi
  for version in $core_latest $core_older; do
    core_complete "$version" || source_lacks="$source_lacks core/$version"
  done
  if [ "$(cat "$packages/core/LATEST" 2>/dev/null)" != "$core_latest" ]; then source_lacks="$source_lacks core/LATEST"; fi
}

core_complete() {
  local core=$packages/core/$1 archive
  [ -s "$core/SHA256SUMS" ] && [ -f "$core/EXTENSIONS" ] || return 1
  while read -r archive; do [ -s "$packages/$archive" ] || return 1; done <"$core/EXTENSIONS"
}

source_build() {
  local item
  mkdir -p "$packages/core" "$packages/plugins" "$packages/themes" "$downloads"
  rm -rf "$packages"/.stage.* "$downloads"/npm.* "$downloads"/builds
  say "package source: $packages"
  for item in $source_lacks; do
    case $item in
      wp-cli) wp_cli_build ;;
      core/LATEST) latest_write ;;
      core/*) core_build "${item#core/}" ;;
    esac
  done
  rm -rf "$downloads"   # everything in it is unpacked and verified by now
  source_missing
  [ -z "$source_lacks" ] || fail "still missing:$source_lacks"
}

wp_cli_build() {
  local url=https://github.com/wp-cli/wp-cli/releases/download/v$wp_cli_version/wp-cli-$wp_cli_version.phar
  local file=$downloads/wp-cli-$wp_cli_version.phar
  if ! download "$url" "$file"; then
    npm_tarball "$studio_package" "$studio_version" "$studio_sha512"
    tar -xzOf "$tarball" package/dist/cli/wp-files/wp-cli/wp-cli.phar >"$file"
  fi
  checked sha512 "$file" "$wp_cli_sha512" || { rm -f "$file"; fail "wp-cli.phar is not WP-CLI $wp_cli_version as released"; }
  stage_make
  mv "$file" "$stage/wp-cli.phar"
  (cd "$stage" && sha256sum wp-cli.phar >wp-cli.phar.sha256)
  printf '%s\n' "$wp_cli_version" >"$stage/version"
  stage_publish wp-cli
  say "WP-CLI $wp_cli_version, sha512 as released"
}

latest_write() {
  printf '%s\n' "$core_latest" >"$packages/core/.LATEST.new"
  chmod 0644 "$packages/core/.LATEST.new"
  mv -f "$packages/core/.LATEST.new" "$packages/core/LATEST"
}

stage_make() { stage=$(mktemp -d "$packages/.stage.XXXXXX"); }

# stage_publish PLACE: puts $stage where it belongs, readable for all, writable for its
# owner, on the disk before it has its name.
stage_publish() {
  local place=$packages/$1
  [ -z "$(find "$stage" ! -type f ! -type d -print -quit)" ] || fail "$1 contains something that is neither file nor directory"
  if [ "$(id -u)" = 0 ]; then chown -R 0:0 "$stage"; fi
  find "$stage" -type d -exec chmod 0755 {} + -o -type f -exec chmod 0644 {} +
  sync -f "$stage"
  mkdir -p "$(dirname "$place")"
  if [ -e "$place" ]; then mv "$place" "$packages/.stage.old.$$"; fi
  mv "$stage" "$place"
  rm -rf "$packages/.stage.old.$$"
}

# source_verify compares every file with its manifest: what --verify adds to --check.
source_verify() {
  local version
  (cd "$packages/wp-cli" && sha256sum --quiet -c wp-cli.phar.sha256) || fail "wp-cli has changed since it was fetched"
  for version in $core_latest $core_older; do
    (cd "$packages/core/$version/wordpress" && sha256sum --quiet -c ../SHA256SUMS) || fail "core $version has changed since it was fetched"
    [ "$(find "$packages/core/$version/wordpress" -type f | wc -l)" = "$(wc -l <"$packages/core/$version/SHA256SUMS")" ] ||
      fail "core $version has files that its manifest does not list"
  done
  say "every file is as it was fetched"
}
