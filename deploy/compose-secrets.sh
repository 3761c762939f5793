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

if missing redis_password; then random | put redis_password 0444; fi
if missing mariadb_root_password; then random | put mariadb_root_password 0444; fi
if missing grafana_admin_password; then random | put grafana_admin_password 0444; fi

# Derived ones follow their source, also when that was replaced by hand. What is mounted
# into a node is closed to all but root: tenants live there.
put node_redis_password 0400 <"$dir/redis_password"
printf 'root:%s@tcp(mariadb:3306)/\n' "$(cat "$dir/mariadb_root_password")" | put mysql_dsn 0400
{
  sum=$(printf %s "$(cat "$dir/redis_password")" | sha256sum | cut -d' ' -f1)
  # Nothing that administers the server or empties it; INFO, ROLE and CONFIG GET let the
  # toolkit see whether the server may evict, or forget.
  echo "user default on #$sum ~* &* +@all -@admin -@dangerous +info +role +config|get"
} | put redis_acl 0444
