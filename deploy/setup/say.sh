# One line per action, so that a log of it reads like a list of what was done.
say() { printf 'setup: %s\n' "$*"; }
warn() { printf 'setup: %s\n' "$*" >&2; }
fail() { warn "$*"; exit 1; }

# have NAME: an executable of that name, also where only root's PATH looks.
have() { PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null 2>&1; }

# at_least VERSION MINIMUM
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# lock waits for other runs over the same cache. The kernel frees it when this
# process ends, however it ends.
lock() {
  mkdir -p "$cache" || fail "cannot create $cache: set WPTK_CACHE to a directory that $(id -un) may write to"
  exec 9>"$cache/.lock"
  flock -n 9 || { say "another set-up is running on $cache, waiting for it"; flock 9; }
}

report_missing() {
  local item
  for item in $gone; do say "missing: $item"; done
  for item in $source_lacks; do say "missing: $packages/$item"; done
  if [ -n "$apt_missing" ]; then say "would install: $apt_missing"; fi
  if [ -n "$go_problem" ]; then say "$go_problem"; fi
  if [ -z "$apt_missing$source_lacks$go_problem" ]; then say "nothing is missing"; fi
}
