#!/usr/bin/env bash
# Installs the packages on two machines, starts them, and uses them as docs/join.md says.
#
#   deploy/packages/check.sh DIR      DIR has the packages of build.sh
#
# Each machine is this one's file system with a layer of its own on top, booted by systemd
# in a container (systemd-nspawn) with a network of its own: nothing of this machine is
# changed, and units, users, capabilities, readiness and watchdog are the real ones.
# Needs root, overlayfs, ip, systemd-nspawn (package systemd-container), rpm.
#
# The last line is a JSON object; the exit status is 0 only when all held.
set -uo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
packages=$(cd "${1:?usage: check.sh DIR}" && pwd)
for tool in ip systemd-nspawn nsenter rpm dpkg systemd-analyze; do
  command -v "$tool" >/dev/null || { echo "$tool is missing (make packages-check installs it)" >&2; exit 2; }
done
work=$(mktemp -d /var/tmp/wptk-check.XXXXXX)
id=wptkc$$
cases=0 held=0
machines=()

down() {
  for m in "${machines[@]}"; do
    kill "$(cat "$work/$m/nspawn" 2>/dev/null)" 2>/dev/null
    leader=$(leader "$m") && [ -n "$leader" ] && kill -KILL "$leader" 2>/dev/null
    wait "$(cat "$work/$m/nspawn" 2>/dev/null)" 2>/dev/null
    umount -l "$work/$m/root" 2>/dev/null
  done
  ip netns del "$id-first" 2>/dev/null
  ip netns del "$id-second" 2>/dev/null
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

leader() { cat "/proc/$(cat "$work/$1/nspawn")/task/$(cat "$work/$1/nspawn")/children" 2>/dev/null | cut -d' ' -f1; }

# on MACHINE COMMAND…: runs there, as root.
on() {
  local m=$1
  shift
  nsenter -t "$(leader "$m")" -m -u -i -n -p -C env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/root TERM=dumb DEBIAN_FRONTEND=noninteractive "$@"
}

# network: a wire between the two machines.
network() {
  ip netns add "$id-first" && ip netns add "$id-second" &&
    ip link add wire netns "$id-first" type veth peer name wire netns "$id-second" || return
  for m in first:10.77.0.1 second:10.77.0.2; do
    ip -n "$id-${m%:*}" addr add "${m#*:}/24" dev wire && ip -n "$id-${m%:*}" link set wire up &&
      ip -n "$id-${m%:*}" link set lo up || return
  done
}

# boot MACHINE
boot() {
  local m=$1 root=$work/$1/root
  mkdir -p "$root" "$work/$m"/{upper,work}
  machines+=("$m")
  mount -t overlay overlay -o "lowerdir=/,upperdir=$work/$m/upper,workdir=$work/$m/work" "$root" || return
  : >"$root/etc/machine-id"
  rm -rf "$root"/etc/systemd/system/*.wants
  # Its database server is installed while there is still a network; nothing starts.
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod +x "$root/usr/sbin/policy-rc.d"
  DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y --no-install-recommends mariadb-server >"$work/$m/apt" 2>&1 ||
    { cat "$work/$m/apt"; return 1; }
  rm "$root/usr/sbin/policy-rc.d"
  mkdir -p "$root/root/wptk/bin/packages" && cp "$packages"/* "$root/root/wptk/bin/packages"
  systemd-nspawn --quiet --register=no --keep-unit --link-journal=no --machine="$id-$m" -D "$root" \
    --network-namespace-path="/run/netns/$id-$m" --console=pipe -b -- systemd.unit=multi-user.target </dev/null >"$work/$m/console" 2>&1 &
  echo $! >"$work/$m/nspawn"
  for _ in $(seq 60); do
    if [ -n "$(leader "$m")" ] && on "$m" systemctl is-system-running 2>/dev/null | grep -Eq 'running|degraded'; then return; fi
    sleep 1
  done
  cat "$work/$m/console"
  return 1
}

# part TITLE: the commands below a heading of docs/join.md.
part() { awk -v title="## $1" '/^## /{in_part = $0 == title} /^```/{code = in_part && /^```sh/; next} in_part && code' "$repo/docs/join.md"; }

# follow MACHINE TITLE [COMMANDS]: those, as a reader types them, in one shell; then some more.
follow() {
  { echo 'set -eux; cd /root/wptk; export WPTK_KEY=$(cat /root/wptk.key 2>/dev/null || true)'
    [ -z "${3:-}" ] || echo "$3"
    part "$2"; } >"$work/$1/root/root/steps"
  on "$1" bash /root/steps </dev/null
}

property() { on "$1" systemctl show "$2" --property "$3" --value; }
is() { [ "$("${@:2}")" = "$1" ] || { echo "not $1 but $("${@:2}")"; return 1; }; }
sees() { local want=$1; shift; "$@" >"$work/seen" 2>&1; cat "$work/seen"; grep -Eq -- "$want" "$work/seen"; }
mode() { on "$1" stat -c '%a %U:%G' "$2"; }
# soon COMMAND…: within three minutes, as a busy machine may need.
soon() { local until=$((SECONDS + 180)); until "$@" >"$work/soon" 2>&1; do [ "$SECONDS" -lt "$until" ] || { cat "$work/soon"; return 1; }; sleep 0.5; done; }
another() { on first systemctl status --no-pager wptk-worker; [ "$(property first wptk-worker MainPID)" != "$1" ] && [ "$(property first wptk-worker ActiveState)" = active ]; }
exposed() { on first systemd-analyze security --no-pager --threshold="$2" "$1"; }
capabilities() { on first sh -c "sed -n 's/^CapBnd:[[:space:]]*//p' /proc/\$(systemctl show $1 -p MainPID --value)/status"; }

for kind in wptk wptk-api wptk-worker; do
  holds "$kind.rpm has what $kind.deb has" bash -c '
    diff <(rpm -qpl "$1"/"$2"_*.rpm | grep -v zsh) <(dpkg-deb -c "$1"/"$2"_*.deb | sed -n "s/^-.* \.//p" | grep -v zsh | sort)' - "$packages" "$kind"
done
holds "a wire between two machines" network
holds "the first machine boots" boot first
holds "the second machine boots" boot second

holds "docs/join.md: the first machine" follow first "On the first machine"
cp "$work/first/root/root/redis.web-2" "$work/second/root/root/redis.password" 2>/dev/null
cp "$work/first/root/etc/wptk/signing/api.pub" "$work/second/root/root/api.pub" 2>/dev/null
holds "docs/join.md: the second machine" follow second "On the second machine"
holds "both nodes are up" sees 'web-2 +up' on first bash -c 'WPTK_KEY=$(cat /root/wptk.key) wptk nodes list'
holds "docs/join.md: two installs, and the second node leaves" follow first "On the first machine again" \
  'export REDISCLI_AUTH=$(cat /root/redis.default)'
# denied COMMAND…: Redis does not let the first node do that.
denied() { sees NOPERM on first bash -c 'REDISCLI_AUTH=$(cat /root/redis.web-1) redis-cli --user node-web-1 "$@"' - "$@"; }
holds "a node's login reaches no other node" denied hgetall wptk:node:web-2
holds "and does not administer Redis" denied config get dir
holds "WordPress is there, as its account's own" is alice:alice on first stat -c %U:%G /home/alice/domains/one.example/public_html/wp-config.php
holds "WordPress is on the second node" sees public_html/wp-config.php on second find /home/bob/domains -maxdepth 3

holds "the API is its own user" is wptk-api on first sh -c 'ps -o user= -p $(systemctl show wptk-api -p MainPID --value)'
holds "the API's settings are closed" is '640 root:wptk-api' mode first /etc/wptk/api.yaml
holds "the signing key is the API's alone" is '640 root:wptk-api' mode first /etc/wptk/api-signing
holds "the worker's settings are closed" is '640 root:root' mode first /etc/wptk/worker.yaml
holds "the state can be passed through, not listed" is '711 root:root' mode first /var/lib/wptk
holds "the API has no capability" is 0000000000000000 capabilities wptk-api
holds "the worker has nine and no more" is 00000000008005eb capabilities wptk-worker
holds "units verify" on first systemd-analyze verify wptk-api.service wptk-worker.service
holds "systemd rates the API's exposure below 2" exposed wptk-api 20
holds "systemd rates the worker's exposure below 6" exposed wptk-worker 60

# A stopped process hangs worse than any other: it does not even take the watchdog's SIGABRT.
on first sh -c 'mkdir -p /run/systemd/system/wptk-worker.service.d && cd /run/systemd/system/wptk-worker.service.d &&
  printf "[Service]\nWatchdogSec=20\nTimeoutAbortSec=5\n" >check.conf && systemctl daemon-reload && systemctl restart wptk-worker'
pid=$(property first wptk-worker MainPID)
on first kill -STOP "$pid"
holds "a worker that hangs is restarted by the watchdog" soon another "$pid"
holds "a worker stops in order" on first systemctl stop wptk-worker
holds "and says so" is success property first wptk-worker Result
holds "man pages are there" on first man -w wptk wptk-api wptk-worker
holds "bash completes" on first bash -c '. /usr/share/bash-completion/completions/wptk; COMP_WORDS=(wptk nodes re); COMP_CWORD=2; _wptk; [ "$COMPREPLY" = remove ]'
holds "an upgrade keeps settings and restarts nothing" on first bash -c '
  before=$(systemctl show wptk-api -p MainPID --value) && dpkg -i /root/wptk/bin/packages/wptk-api_*.deb &&
  grep -q redis-username /etc/wptk/api.yaml && [ "$before" = "$(systemctl show wptk-api -p MainPID --value)" ]'
holds "removal stops the API and leaves its state" on first bash -c '
  dpkg --purge wptk-api && ! systemctl is-active --quiet wptk-api && test -f /var/lib/wptk-api/api.age'

met=false
[ "$held" != "$cases" ] || met=true
printf '{"name":"packages","cases":%d,"held":%d,"met":%s}\n' "$cases" "$held" "$met"
[ "$met" = true ]
