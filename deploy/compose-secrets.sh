#!/usr/bin/env bash
# Makes the passwords that docker-compose.yml reads, in deploy/secrets (git-ignored).
# Existing ones are kept: the services have them in their volumes.
set -euo pipefail
dir=$(cd "$(dirname "$0")" && pwd)/secrets
umask 077
mkdir -p "$dir"
chmod 0700 "$dir"

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# put NAME MODE: stdin becomes the secret, whole or not at all. The folder is closed; the
# files in it are mounted into containers whose users have other numbers than this one.
put() {
  cat >"$dir/.$1.new"
  chmod "$2" "$dir/.$1.new"
  mv -f "$dir/.$1.new" "$dir/$1"
  echo "made deploy/secrets/$1"
}
missing() { [ ! -s "$dir/$1" ]; }

for name in redis_password node_redis_password redis_monitor_password; do
  if missing $name; then random | put $name 0444; fi
done
if missing mariadb_root_password; then random | put mariadb_root_password 0444; fi
if missing grafana_admin_password; then random | put grafana_admin_password 0444; fi

# What the API signs with, and what the node checks it with (wptk signing new makes the same).
if missing api_signing.key; then openssl genpkey -algorithm ED25519 | put api_signing.key 0444; fi
openssl pkey -in "$dir/api_signing.key" -pubout | put api_signing.pub 0444

# Derived ones follow their source, also when that was replaced by hand. What is mounted
# into a node is closed to all but root: tenants live there.
chmod 0400 "$dir/node_redis_password"
printf 'root:%s@tcp(mariadb:3306)/\n' "$(cat "$dir/mariadb_root_password")" | put mysql_dsn 0400

# The lines of `wptk redis acl --file --apis --node node-1 --monitor`; a test compares them.
acl() {
  while read -r line; do
    case $line in
      "user api "*) password=redis_password ;;
      "user node-node-1 "*) password=node_redis_password ;;
      *) password=redis_monitor_password ;;
    esac
    echo "$line #$(printf %s "$(cat "$dir/$password")" | sha256sum | cut -d' ' -f1)"
  done
}
{
  echo "user default reset off"
  acl <<'RULES'
user node-node-1 reset on ~wptk:op:{83}:* ~wptk:site:{83}:* ~wptk:det:{83}:* ~wptk:last:{83}:* ~wptk:fifo:{83}:* ~wptk:bk:{83}:* ~wptk:errand:{83}:* ~wptk:outbox:{83} ~wptk:open:{83} ~wptk:feed:{83} ~wptk:ended:{83} ~wptk:node:node-1 ~wptk:nodedoms:node-1 ~wptk:nodesites:node-1 ~wptk:bknode:node-1 ~wptk:ticket:node-1:* ~wptk:ix:bk:{s:wp_83*} ~wptk:ix:bk:{n:node-1} ~asynq:servers:* ~asynq:workers:* ~asynq:{n.node-1.hi}:* ~asynq:{n.node-1.std}:* ~asynq:{n.node-1.late}:* ~asynq:{n.node-1.bulk}:* ~asynq:{n.node-1.bulklate}:* %W~wptk:nodes %W~wptk:errands %W~wptk:dom:{*} %W~wptk:ix:ops:{all} %W~wptk:ix:ops:{a:*} %W~wptk:ix:ops:accounts %W~wptk:ix:sites:{all} %W~wptk:ix:sites:{a:*} %W~wptk:ix:bk:{all} %W~wptk:ix:bk:{a:*} %W~asynq:queues %W~asynq:servers %W~asynq:workers &wptk:ev &wptk:wake.node-1 &asynq:cancel -@all +@read +@write +@pubsub +@connection +@transaction -@dangerous -@admin -@scripting -scan -randomkey -dbsize -pubsub -wait +eval +evalsha +script|load +script|exists +info +cluster|slots +command +time
user api reset on ~wptk:* ~asynq:* &wptk:* &asynq:* -@all +@read +@write +@pubsub +@connection +@transaction -@dangerous -@admin -@scripting -scan -randomkey -dbsize -pubsub -wait +eval +evalsha +script|load +script|exists +info +cluster|slots +command +time +wait
user monitor reset on -@all +ping +info
RULES
} | put redis_acl 0444
