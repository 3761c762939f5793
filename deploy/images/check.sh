#!/usr/bin/env bash
# Builds the images of docker-compose.yml without a Docker daemon and without a registry, and
# installs WordPress through them as the stack would.
#
#   deploy/images/check.sh [WHAT…]    WHAT is base, build, run; all of them by default
#
# What a registry would give is made here and goes by the same name: debian:12.12-slim by
# debootstrap, golang:1.26.8-bookworm by adding this machine's Go to it. Both Dockerfiles are then
# built as they are, by buildah. The API and the node run in podman with what docker-compose.yml
# says about them (run.py reads it): user, capabilities, secrets, volumes, health check. Redis and
# MariaDB are this machine's, with the stack's own settings, in the same network namespace; the
# upstream images of those two, of Prometheus and of Grafana are not tried.
# Needs root, debootstrap, buildah, podman, runc, python3-yaml, redis-server, mariadb-server.
#
# The last line is a JSON object; the exit status is 0 only when all held.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
cache=${WPTK_IMAGES_CACHE:-/var/tmp/wptk-images}
packages=${WPTK_PACKAGE_SOURCE:-/var/cache/wptk/packages}
for tool in debootstrap buildah podman runc redis-server mariadbd mariadb-install-db; do
  command -v "$tool" >/dev/null || { echo "$tool is missing (make images-check installs it)" >&2; exit 2; }
done
work=$(mktemp -d /var/tmp/wptk-run.XXXXXX)
net=wptki$$
cases=0 held=0
started=()
down() {
  podman rm --force --ignore --time 5 "$net-api" "$net-worker" >/dev/null 2>&1
  podman volume rm --force "$net-api-state" "$net-node-state" "$net-node-home" >/dev/null 2>&1
  [ ${#started[@]} = 0 ] || kill "${started[@]}" 2>/dev/null
  wait
  ip netns del "$net" 2>/dev/null
  rm -rf "$work"
}
trap down EXIT

# holds WHAT COMMAND…: one promise.
holds() {
  local what=$1
  shift
  cases=$((cases + 1))
  if "$@" >"$work/out" 2>&1; then held=$((held + 1)) && echo "ok    $what"
  else echo "FAIL  $what" && sed 's/^/      /' "$work/out" | tail -n 40; fi
}
soon() { local until=$((SECONDS + 180)); until "$@" >"$work/soon" 2>&1; do [ "$SECONDS" -lt "$until" ] || { cat "$work/soon"; return 1; }; sleep 0.5; done; }

# base: the two images that the Dockerfiles begin with.
base() {
  if ! podman image exists docker.io/library/debian:12.12-slim; then
    [ -x "$cache/base/usr/bin/apt-get" ] || debootstrap --variant=minbase --include=ca-certificates bookworm "$cache/base" || return
    # The way of this machine to its packages.
    cp -r /etc/apt/apt.conf.d/. "$cache/base/etc/apt/apt.conf.d/" && cp /etc/ssl/certs/ca-certificates.crt "$cache/base/etc/ssl/certs/" &&
      rm -rf "$cache/base/var/cache/apt/archives"/*.deb || return
    local c && c=$(buildah from scratch) && buildah add -q "$c" "$cache/base" / && buildah config --cmd /bin/bash "$c" &&
      buildah commit -q --rm "$c" docker.io/library/debian:12.12-slim && rm -rf "$cache/base" || return
  fi
  if ! podman image exists docker.io/library/golang:1.26.8-bookworm; then
    local c && c=$(buildah from --pull-never docker.io/library/debian:12.12-slim) && buildah add -q "$c" "$(go env GOROOT)" /usr/local/go &&
      buildah config --env PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --env GOTOOLCHAIN=local \
        --env GOPROXY=file:///gomod --env GOSUMDB=off --env GOFLAGS=-buildvcs=false "$c" &&
      buildah commit -q --rm "$c" docker.io/library/golang:1.26.8-bookworm || return
  fi
}

# build NAME [FLAG…]: an image of docker-compose.yml, from its Dockerfile as it is.
build() {
  local name=$1
  shift
  buildah bud --isolation chroot --pull-never --layers -q -t "localhost/wptk-$name" -f "$repo/deploy/Dockerfile.$name" \
    --volume "$(go env GOMODCACHE)/cache/download:/gomod:ro" "$@" "$repo"
}

# servers: Redis and MariaDB as the stack has them.
servers() {
  ip netns add "$net" && ip -n "$net" link set lo up && mkdir -p "$work"/{redis,mysql,files,deploy} && cp "$repo/deploy/compose-secrets.sh" "$work/deploy" &&
    "$work/deploy/compose-secrets.sh" || return
  ip netns exec "$net" redis-server "$repo/deploy/redis/redis.conf" --dir "$work/redis" --aclfile "$work/deploy/secrets/redis_acl" >"$work/redis.log" 2>&1 &
  started+=($!)
  id mysql >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin mysql || return
  local password && password=$(cat "$work/deploy/secrets/mariadb_root_password") && chown -R mysql "$work/mysql" "$work/files" && chmod 0711 "$work" || return
  mariadb-install-db --no-defaults --user=mysql --datadir="$work/mysql" --skip-test-db >/dev/null || return
  (umask 077 && printf '%s\n' "CREATE USER root@'%' IDENTIFIED BY '$password';" "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;" >"$work/init.sql") && chown mysql "$work/init.sql" || return
  ip netns exec "$net" mariadbd --defaults-file="$repo/deploy/mariadb/wptk.cnf" --user=mysql --datadir="$work/mysql" --socket="$work/mysql/s" \
    --pid-file="$work/mysql/pid" --secure-file-priv="$work/files" --init-file="$work/init.sql" >"$work/mysql.log" 2>&1 &
  started+=($!)
  soon mariadb-admin --no-defaults --socket="$work/mysql/s" ping
}

# up SERVICE IMAGE: as docker-compose.yml says.
up() {
  python3 "$here/run.py" "$repo/docker-compose.yml" "$1" "$net" "$work/deploy/secrets" "$packages" >"$work/arguments" || return
  local arguments && mapfile -d '' -t arguments <"$work/arguments" && eval "local command=(${arguments[-1]})" && unset 'arguments[-1]'
  podman --runtime runc run --detach --name "$net-$1" --network "ns:/run/netns/$net" --add-host redis:127.0.0.1 --add-host mariadb:127.0.0.1 \
    "${arguments[@]}" "$2" "${command[@]}" && soon podman healthcheck run "$net-$1" || { podman logs "$net-$1"; return 1; }
}
inside() { local name=$1; shift; podman --runtime runc exec "$net-$name" "$@" </dev/null; }
api() { podman --runtime runc exec --env "WPTK_KEY=$key" "$net-api" wptk "$@" </dev/null; }
sees() { local want=$1; shift; "$@" >"$work/seen" 2>&1; cat "$work/seen"; grep -Eq -- "$want" "$work/seen"; }

what=" ${*:-base build run} "
case $what in *" base "*) holds "bases from Debian's packages and this Go" base ;; esac
case $what in *" build "*)
  holds "the API's image builds" build api
  holds "the node's image builds" build node --build-context "packages=$packages" ;;
esac
case $what in *" run "*)
  holds "Redis and MariaDB with the stack's settings" servers
  holds "the API is healthy" up api localhost/wptk-api
  holds "the node is healthy" up worker localhost/wptk-node
  key=$(inside api wptk keys create ops --owner ops --role admin --quiet)
  holds "the node is up" soon sees 'node-1 +up' api nodes list
  holds "WordPress is installed" api install --watch alice.test --title One --admin-user boss --admin-email boss@example.com
  holds "it is its account's" sees '^alice:alice$' inside worker stat -c %U:%G /home/alice/domains/alice.test/public_html/wp-config.php
  holds "the API is nobody, with no capability, on a file system it cannot write to" sees '^65532 0000000000000000$' \
    inside api sh -c '! touch /x 2>/dev/null && echo $(id -u) $(sed -n "s/^CapEff:\s*//p" /proc/1/status)'
  holds "no secret is in the environment" sh -c '! podman inspect "$1" "$2" | grep -Ff "$3/redis_password" -f "$3/node_redis_password" -f "$3/mariadb_root_password"' - "$net-api" "$net-worker" "$work/deploy/secrets" ;;
esac

met=false
[ "$held" != "$cases" ] || met=true
printf '{"name":"images","cases":%d,"held":%d,"met":%s}\n' "$cases" "$held" "$met"
[ "$met" = true ]
