# Distribution packages. A thing is there when it works, not when a package of some
# name is installed: hosters have PHP, Redis and MariaDB from many places.

# system_missing sets $gone (what is lacking, for people) and $apt_missing (packages).
system_missing() {
  gone= apt_missing=
  php_missing
  redis_missing
  have mariadbd || have mysqld || lack mariadbd mariadb-server-core
  have mariadb-install-db || lack mariadb-install-db mariadb-server-core
  have mariadb || lack mariadb mariadb-client-core
  have mariadb-dump || lack mariadb-dump mariadb-client
  have restic || lack restic restic
  have unzip || lack unzip unzip
  have curl || lack curl curl
  have flock || lack flock util-linux
  [ -s /etc/ssl/certs/ca-certificates.crt ] || lack ca-certificates ca-certificates
  if [ -n "${with_web:-}" ]; then web_missing; fi
  # Debian's: what Ubuntu has under this name is a snap, which needs a running service.
  if [ -n "${with_browser:-}" ]; then have chromium || lack chromium chromium; fi
  if [ -n "${with_phpcs:-}" ]; then standard_missing; fi
  if [ -n "${with_prometheus:-}" ]; then
    have prometheus || lack prometheus prometheus
    have promtool || lack promtool prometheus
  fi
}

# web_missing: programs alone, which tests start by themselves. apache2-bin has no service;
# ssh is what backups over SFTP go through.
web_missing() {
  have ssh || lack ssh openssh-client
  [ -x /usr/sbin/apache2 ] || lack apache2 apache2-bin
  [ -x /usr/sbin/nginx ] || lack nginx nginx-light
  [ -x /usr/bin/php-cgi ] || lack php-cgi php-cgi
}

# lack WHAT PACKAGE
lack() {
  gone="$gone $1"
  case " $apt_missing " in *" $2 "*) ;; *) apt_missing="${apt_missing:+$apt_missing }$2" ;; esac
}

php_missing() {
  local modules module found
  # One start of PHP tells both; starts are what a run with nothing to do is made of.
  found=$(php -r 'echo PHP_VERSION, " ", strtolower(implode(" ", get_loaded_extensions()));' 2>/dev/null) || found=
  php_version=${found%% *} modules=" $found "
  at_least "${php_version:-0}" "$php_minimum" || lack "php>=$php_minimum" php-cli
  for module in mysqli curl gd xml mbstring zip intl; do
    case $modules in *" $module "*) ;; *) lack "php-$module" "php-${module/mysqli/mysql}" ;; esac
  done
}

redis_missing() {
  local found
  have redis-server || { lack redis-server redis-server; return; }
  found=$(PATH=$PATH:/usr/sbin redis-server --version | sed -n 's/.* v=\([0-9.]*\).*/\1/p')
  at_least "${found:-0}" "$redis_minimum" || lack "redis-server>=$redis_minimum" redis-server
}

# as_root COMMAND...
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

system_install() {
  have apt-get || fail "missing:$gone. Only Debian and Ubuntu are installed on automatically"
  name_for_release
  if [ "$(id -u)" != 0 ] && ! have sudo; then
    fail "not root and no sudo. Run this as root, then start again:
  apt-get update && apt-get install -y --no-install-recommends $apt_missing"
  fi
  say "refreshing the package lists"
  as_root apt-get update -qq || fail "apt-get update failed"
  name_for_release
  check_redis_candidate
  say "installing: $apt_missing"
  services_quiet
  # shellcheck disable=SC2086 # a list of package names, ours
  as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get install -y -qq \
    --no-install-recommends -o DPkg::Lock::Timeout=300 $apt_missing >"$cache/apt.log" 2>&1 ||
    { tail -n 20 "$cache/apt.log" >&2; fail "apt-get install failed, all of it is in $cache/apt.log"; }
  services_restore
  case " $apt_missing " in *" redis-server "*) service_stays_off redis-server ;; esac
  case " $apt_missing " in *" nginx-light "*) service_stays_off nginx ;; esac
  case " $apt_missing " in *" prometheus "*) service_stays_off prometheus ;; esac
  system_missing
  [ -z "$apt_missing" ] || fail "still missing after the installation:$gone"
}

# name_for_release: before Debian 12 the core packages carry MariaDB's version in their
# names (mariadb-server-core-10.6 on Ubuntu 22.04). Those of mariadb-server would start a
# server, so they are not an alternative.
name_for_release() {
  local wanted name newest out=
  for wanted in $apt_missing; do
    name=$wanted
    case $wanted in mariadb-*)
      if ! candidate "$wanted" >/dev/null; then
        newest=$(apt-cache pkgnames "$wanted-" | grep -E "^$wanted-[0-9.]+$" | sort -V | tail -n 1)
        name=${newest:-$wanted}
      fi ;;
    esac
    out="${out:+$out }$name"
  done
  apt_missing=$out
}

# candidate PACKAGE: the upstream version that apt would install; fails when there is none.
candidate() {
  local version
  version=$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p')
  case $version in ''|'(none)') return 1 ;; esac
  version=${version#*:}
  printf '%s\n' "${version%%-*}"
}

check_redis_candidate() {
  local found
  case " $apt_missing " in *" redis-server "*) ;; *) return 0 ;; esac
  found=$(candidate redis-server) || fail "this distribution has no redis-server package"
  at_least "$found" "$redis_minimum" || fail "this distribution's redis-server is $found, $redis_minimum is needed.
  Install a newer one (https://redis.io/docs/latest/operate/oss_and_stack/install/), then start again"
}

# services_quiet keeps packages from starting what they install. A policy-rc.d that
# already says no is left alone; any other is put back afterwards, also after a run
# that was killed in between.
policy=/usr/sbin/policy-rc.d
services_quiet() {
  local answer=0
  if [ -e $policy.wptk-saved ]; then as_root mv -f $policy.wptk-saved $policy; fi
  if [ -x $policy ]; then $policy redis-server start >/dev/null 2>&1 || answer=$?; fi
  [ "$answer" != 101 ] || return 0
  trap services_restore EXIT
  trap 'exit 130' INT TERM HUP
  if [ -e $policy ] || [ -L $policy ]; then as_root mv -f $policy $policy.wptk-saved; fi
  printf '#!/bin/sh\n# wptk set-up is running: start nothing\nexit 101\n' | as_root tee $policy >/dev/null
  as_root chmod 0755 $policy
}

services_restore() {
  if [ -f $policy ] && grep -q 'wptk set-up' $policy; then as_root rm -f $policy; fi
  if [ -e $policy.wptk-saved ] || [ -L $policy.wptk-saved ]; then as_root mv -f $policy.wptk-saved $policy; fi
  trap - EXIT INT TERM HUP
}

# service_stays_off NAME: a package enables its unit for the next boot. Called only when
# it was us who installed it; a server that somebody runs is never touched. update-rc.d
# takes the links of systemd away too, also where no systemd runs.
service_stays_off() {
  say "leaving the $1 service off (the toolkit starts its own)"
  if have systemctl; then
    as_root systemctl disable "$1.service" >/dev/null 2>&1 || warn "systemctl could not disable $1.service"
  fi
  if have update-rc.d; then
    as_root update-rc.d "$1" disable >/dev/null 2>&1 || warn "update-rc.d could not disable $1"
  fi
}
