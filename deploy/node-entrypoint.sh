#!/bin/sh
# Gives a containerised node an account with a domain, as a panel would have, and becomes
# the worker. WPTK_DEMO_SITES: "account:domain …".
#
# Their user ids start far above those of people: a secret that is mounted into the
# container keeps the numeric owner that it has on the host.
set -eu
for pair in ${WPTK_DEMO_SITES:-}; do
  account=${pair%%:*} domain=${pair#*:}
  id "$account" >/dev/null 2>&1 || useradd -K UID_MIN=20000 --create-home --shell /usr/sbin/nologin "$account"
  # Other tenants get no further than the home's name; domains are the tenant's own.
  chmod 0711 "/home/$account"
  install -d -o root -g root -m 0755 "/home/$account/domains"
  install -d -o "$account" -g "$account" -m 0711 "/home/$account/domains/$domain"
done
exec /usr/local/bin/wptk-worker "$@"
