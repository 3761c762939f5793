# Two machines to try packages on, for scripts to source after setting `packages`.
#
# Each machine is this one's file system with a layer of its own on top, booted by systemd
# in a container (systemd-nspawn) with a network of its own: nothing of this machine is
# changed, and units, users, capabilities, readiness and watchdog are the real ones.
# Needs root, overlayfs, ip, systemd-nspawn (package systemd-container).
for tool in ip systemd-nspawn nsenter dpkg; do
  command -v "$tool" >/dev/null || { echo "$tool is missing (make packages-check installs it)" >&2; exit 2; }
done
work=$(mktemp -d /var/tmp/wptk-check.XXXXXX)
id=wptkc$$
cases=0 held=0
also=() # further packages of the distribution for every machine
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
  # Its servers are installed while there is still a network; nothing starts.
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod +x "$root/usr/sbin/policy-rc.d"
  DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y --no-install-recommends mariadb-server "${also[@]}" >"$work/$m/apt" 2>&1 ||
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

property() { on "$1" systemctl show "$2" --property "$3" --value; }
is() { [ "$("${@:2}")" = "$1" ] || { echo "not $1 but $("${@:2}")"; return 1; }; }
sees() { local want=$1; shift; "$@" >"$work/seen" 2>&1; cat "$work/seen"; grep -Eq -- "$want" "$work/seen"; }
mode() { on "$1" stat -c '%a %U:%G' "$2"; }
# soon COMMAND…: within three minutes, as a busy machine may need.
soon() { local until=$((SECONDS + 180)); until "$@" >"$work/soon" 2>&1; do [ "$SECONDS" -lt "$until" ] || { cat "$work/soon"; return 1; }; sleep 0.5; done; }

# verdict NAME: the last line.
verdict() {
  local met=false
  [ "$held" != "$cases" ] || met=true
  printf '{"name":"%s","cases":%d,"held":%d,"met":%s}\n' "$1" "$cases" "$held" "$met"
  [ "$met" = true ]
}
