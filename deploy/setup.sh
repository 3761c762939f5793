#!/usr/bin/env bash
# Makes a bare Debian 12+ or Ubuntu 22.04+ ready to build, test and demonstrate
# the toolkit, and does nothing where nothing is missing.
#
#   deploy/setup.sh            install what is missing, fetch what is missing
#   deploy/setup.sh --with-web the same, and the web servers that tests of rules run
#   deploy/setup.sh --with-browser   the same as --with-web, and Chromium
#   deploy/setup.sh --with-prometheus   the same as without, and Prometheus with promtool
#   deploy/setup.sh --with-phpcs   the same as without, and what make phpcs runs
#   deploy/setup.sh --check    only say what is missing; status 1 if anything is
#   deploy/setup.sh --verify   --check, and compare every fetched file with its checksum
#   deploy/setup.sh --cache    print the cache directory, nothing else
#
# WPTK_CACHE     where fetched things go (default: /var/cache/wptk for root, since
#                tenants' processes must be able to read them and /root is closed;
#                else ${XDG_CACHE_HOME:-~/.cache}/wptk)
# WPTK_OFFICIAL  0 = do not try the official downloads, go straight to npm
#
# No system service is started, stopped or reconfigured. Safe to run any number of
# times, at the same time too, and to interrupt anywhere.
set -euo pipefail
umask 022
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(dirname "$here")
if [ -n "${WPTK_CACHE:-}" ]; then cache=$WPTK_CACHE
elif [ "$(id -u)" = 0 ]; then cache=/var/cache/wptk
else cache=${XDG_CACHE_HOME:-$HOME/.cache}/wptk; fi
case $cache in /*) ;; *) cache=$PWD/$cache ;; esac
packages=$cache/packages

# Everything below is functions; each file is one subject.
for part in say pins system go fetch source standard; do . "$here/setup/$part.sh"; done

with_web= with_browser= with_prometheus= with_phpcs=
case ${1:-} in
  '') mode=install ;;
  --with-web) mode=install with_web=1 ;;
  --with-browser) mode=install with_web=1 with_browser=1 ;;
  --with-prometheus) mode=install with_prometheus=1 ;;
  --with-phpcs) mode=install with_phpcs=1 ;;
  --check) mode=check ;;
  --verify) mode=verify ;;
  --cache) printf '%s\n' "$cache"; exit 0 ;;
  *) fail "unknown argument $1 (known: --with-web, --with-browser, --with-prometheus, --with-phpcs, --check, --verify, --cache)" ;;
esac

system_missing        # -> $apt_missing, $gone: what this machine lacks
source_missing        # -> $source_lacks: what the package source lacks
go_state              # -> $go_problem: empty when the Go toolchain will do

if [ "$mode" != install ]; then
  report_missing
  if [ "$mode" = verify ]; then source_verify; fi
  [ -z "$apt_missing$source_lacks$go_problem" ]
  exit
fi

if [ -n "$apt_missing$source_lacks" ]; then
  lock                # one at a time; what another run has just done is not done again
  system_missing
  source_missing
  if [ -n "$apt_missing" ]; then system_install; fi
  if [ -n "$source_lacks" ]; then source_build; fi
fi
if [ -n "$with_phpcs" ]; then standard_build; fi
if [ -n "$go_problem" ]; then fail "$go_problem"; fi
say "ready: php $php_version, package source $packages"
