#!/usr/bin/env bash
# Installs the packages on two machines, starts them, and uses them as docs/join.md says.
#
#   deploy/packages/check.sh DIR      DIR has the packages of build.sh
#
# The machines are those of machines.sh. Needs root, and rpm beside what they need.
#
# The last line is a JSON object; the exit status is 0 only when all held.
set -uo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
packages=$(cd "${1:?usage: check.sh DIR}" && pwd)
for tool in rpm systemd-analyze; do
  command -v "$tool" >/dev/null || { echo "$tool is missing (make packages-check installs it)" >&2; exit 2; }
done
. "$here/machines.sh"

# part TITLE: the commands below a heading of docs/join.md.
part() { awk -v title="## $1" '/^## /{in_part = $0 == title} /^```/{code = in_part && /^```sh/; next} in_part && code' "$repo/docs/join.md"; }

# follow MACHINE TITLE [COMMANDS]: those, as a reader types them, in one shell; then some more.
follow() {
  { echo 'set -eux; cd /root/wptk; export WPTK_KEY=$(cat /root/wptk.key 2>/dev/null || true)'
    [ -z "${3:-}" ] || echo "$3"
    part "$2"; } >"$work/$1/root/root/steps"
  on "$1" bash /root/steps </dev/null
}

another() { on first systemctl status --no-pager wptk-worker; [ "$(property first wptk-worker MainPID)" != "$1" ] && [ "$(property first wptk-worker ActiveState)" = active ]; }
exposed() { on first systemd-analyze security --no-pager --threshold="$2" "$1"; }
capabilities() { on first sh -c "sed -n 's/^CapBnd:[[:space:]]*//p' /proc/\$(systemctl show $1 -p MainPID --value)/status"; }

for kind in wptk wptk-api wptk-worker; do
  holds "$kind.rpm has what $kind.deb has" bash -c '
    diff <(rpm -qpl "$1"/"$2"_*.rpm | grep -v zsh) <(dpkg-deb -c "$1"/"$2"_*.deb | sed -n "s/^-.* \.//p" | grep -v zsh | sort)' - "$packages" "$kind"
done
# There is no machine here that boots from rpms: what is in them is seen, their scripts are not run.
rpms() {
  mkdir -p "$work/rpms" && rpm --root "$work/rpms" --initdb && rpm --root "$work/rpms" --nodeps --nosignature --noscripts -i "$packages"/*.rpm &&
    rpm --root "$work/rpms" -V --nodeps --noscripts wptk wptk-api wptk-worker && [ "$(rpm --root "$work/rpms" -qc wptk-api wptk-worker | wc -l)" = 3 ] &&
    [ "$(cd "$work/rpms" && stat -c '%n %a %U' etc/wptk/* | tr '\n' ,)" = 'etc/wptk/api.yaml 640 root,etc/wptk/mysql.dsn 640 root,etc/wptk/worker.yaml 640 root,' ] &&
    for name in wptk wptk-api wptk-worker; do "$work/rpms/usr/bin/$name" --version || return; done
}
holds "the rpms install, and are there as they say of themselves" rpms
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

verdict packages
