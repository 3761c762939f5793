#!/usr/bin/env bash
# Has Ansible make a fleet of two machines that really boot, and says whether it holds: from
# nothing, one node first, then the second joins; a second run changes nothing; both are upgraded
# while work waits; one is removed. The first machine is the controlling one and reaches the second
# by SSH.
#
#   deploy/ansible/check.sh DIR      DIR has the packages of deploy/packages/build.sh
#
# Machines: deploy/packages/machines.sh. Needs root, and ansible-core beside what they need.
#
# The last line is a JSON object; the exit status is 0 only when all held.
set -uo pipefail
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "$0")" && pwd)
packages=$(cd "${1:?usage: check.sh DIR}" && pwd)
command -v ansible-playbook >/dev/null || { echo "ansible-playbook is missing (make ansible-check installs it)" >&2; exit 2; }
. "$here/../packages/machines.sh"
also=(openssh-server)
newer=0.0.1

# play BOOK ARGUMENTS…: on the first machine.
play() { on first sh -c 'cd /root/wptk/ansible && exec ansible-playbook -i fleet.yml "$@"' - "$@" </dev/null; }
# again BOOK ARGUMENTS…: changes nothing anywhere.
again() { play "$@" >"$work/again" && grep -Eq 'changed=' "$work/again" && ! grep -Eq 'changed=[1-9]|failed=[1-9]|unreachable=[1-9]' "$work/again" || { grep -B3 -A30 -E '^(changed|fatal|PLAY RECAP)' "$work/again"; return 1; }; }
# refuses PATTERN BOOK ARGUMENTS…
refuses() { local want=$1; shift; ! play "$@" >"$work/refused" 2>&1 && grep -Eq -- "$want" "$work/refused" || { cat "$work/refused"; return 1; }; }
wptk() { on first wptk --key-file /etc/wptk/ansible.key "$@" </dev/null; }
account() { # account MACHINE NAME DOMAIN
  on "$1" sh -c 'useradd --create-home --shell /usr/sbin/nologin $1 && chmod 0711 /home/$1 && install -d -m 0755 /home/$1/domains &&
    install -d -o $1 -g $1 -m 0711 /home/$1/domains/$2 && systemctl start mariadb' - "$2" "$3"
}
install_in() { wptk install --watch "$1" --title "$1" --admin-user boss --admin-email boss@example.com; }
denied() { on first sh -c 'REDISCLI_AUTH=$(cat /etc/wptk/redis.password) redis-cli --user node-web-1 hgetall wptk:node:web-2' | grep NOPERM; }
# no_trace: nothing that is secret is in what Ansible has written.
no_trace() {
  for f in first:/etc/wptk/redis.default first:/etc/wptk/redis.api first:/etc/wptk/redis.password second:/etc/wptk/redis.password; do
    secret=$(on "${f%%:*}" cat "${f#*:}") || return
    if grep -rqF -- "$secret" "$work/plays" || on first journalctl --no-pager | grep -qF -- "$secret"; then echo "${f} is written"; return 1; fi
  done
}
prepare() {
  VERSION=$newer "$here/../packages/build.sh" "$work/newer" >"$work/build" 2>&1 || { cat "$work/build"; return 1; }
  local root=$work/first/root/root/wptk
  cp -r "$here" "$root/ansible" && cp -r "$work/newer" "$root/newer" &&
    on first sh -c 'umask 077; mkdir -p /root/.ssh && ssh-keygen -q -t ed25519 -N "" -f /root/.ssh/id_ed25519' &&
    on second sh -c 'umask 077; mkdir -p /root/.ssh && cat >/root/.ssh/authorized_keys' <"$work/first/root/root/.ssh/id_ed25519.pub" &&
    on first sh -c 'ssh-keyscan -t ed25519 10.77.0.2 >/root/.ssh/known_hosts' || return
  cat >"$root/ansible/fleet.yml" <<FLEET
all:
  children:
    wptk_redis: {hosts: {first: {}}}
    wptk_apis: {hosts: {first: {}}}
    wptk_nodes:
      hosts:
        first: {wptk_node: web-1, ansible_connection: local}
        second: {wptk_node: web-2, ansible_host: 10.77.0.2, ansible_user: root}
  vars:
    wptk_packages: /root/wptk/bin/packages
    wptk_redis_listen: 10.77.0.1
    wptk_package_source: /var/cache/wptk/packages
    wptk_worker_settings: {slots-bulk: 1}
FLEET
}

for book in site upgrade remove; do
  holds "$book.yml reads well" ansible-playbook --syntax-check -i "$here/inventory.example.yml" "$here/$book.yml"
done
holds "a wire between two machines" network
holds "the first machine boots" boot first
holds "the second machine boots" boot second
holds "newer packages, and SSH from the first to the second" prepare

: >"$work/plays"
recorded() { "$@" >"$work/play" 2>&1; local rc=$?; cat "$work/play" >>"$work/plays"; cat "$work/play"; return $rc; }
holds "Redis, an API and a node are made" recorded play site.yml --limit first -vv
holds "the second node joins" recorded play site.yml -vv
holds "a second run changes nothing" again site.yml
holds "both nodes are up" sees 'web-2 +up' wptk nodes list
holds "no secret is in what Ansible wrote, nor in a journal" no_trace
holds "the API's settings are closed" is '640 root:wptk-api' mode first /etc/wptk/api.yaml
holds "a node's password is root's alone" is '600 root:root' mode second /etc/wptk/redis.password
holds "a node's login reaches no other node" denied
holds "an account on the second machine" account second bob two.example
holds "WordPress is installed there" install_in two.example

holds "both nodes and the API are upgraded, one after the other" play upgrade.yml -e wptk_packages=/root/wptk/newer
holds "the first node is up with the new version" sees "web-1 +up.* $newer " wptk nodes list
holds "so is the second" sees "web-2 +up.* $newer " wptk nodes list
holds "the API is the new one" sees "^$newer\$" on first sh -c '"/proc/$(systemctl show wptk-api -p MainPID --value)/exe" --version'
holds "a second upgrade changes nothing" again upgrade.yml -e wptk_packages=/root/wptk/newer
holds "a node that somebody drained" wptk nodes drain web-2
holds "stays drained over an upgrade that was cut off before the restart" on second sh -c 'cp -p /usr/bin/wptk-worker /usr/bin/x && mv /usr/bin/x /usr/bin/wptk-worker'
holds "which is made up for" play upgrade.yml -e wptk_packages=/root/wptk/newer
holds "and it is drained still" sees 'web-2 +draining' wptk nodes list

holds "a node with installs is not removed by mistake" refuses 'has 1 installs' remove.yml -e wptk_remove=web-2
holds "it is when that is meant" play remove.yml -e wptk_remove=web-2 -e wptk_remove_force=true
holds "its worker is off" sees '^(inactive|disabled)$' on second systemctl is-active wptk-worker
holds "it is not listed" sh -c '! grep -q web-2 "$1"' - <(wptk nodes list)
holds "and cannot log in" sees 'WRONGPASS' on second sh -c 'REDISCLI_AUTH=$(cat /etc/wptk/redis.password) redis-cli -h 10.77.0.1 --user node-web-2 ping'
holds "removing it again changes nothing" again remove.yml -e wptk_remove=web-2
holds "the others go on" sees 'web-1 +up' wptk nodes list

verdict ansible
