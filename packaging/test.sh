#!/usr/bin/env bash
# The Debian package installs, runs, is upgraded, removed and purged: on this
# system, but in a mount namespace whose changes are thrown away. As root.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "packaging/test.sh: $*" >&2; exit 1; }

if [ "${1:-}" != inside ]; then
  [ "$(id -u)" = 0 ] || fail "mount namespaces need root"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir "$work/again"
  VERSION=0.0.1-1 packaging/deb.sh "$work"
  VERSION=0.0.1-1 packaging/deb.sh "$work/again" >/dev/null
  cmp "$work/holdfast_0.0.1-1_$(dpkg --print-architecture).deb" "$work/again/"*.deb || fail "the same source makes two packages"
  VERSION=0.0.2-1 packaging/deb.sh "$work"
  # Processes end with their namespace, mounts with theirs.
  unshare --mount --pid --net --fork --kill-child "$0" inside "$work"
  exit
fi

work=$2
layer=$work/layer root=$work/root
mkdir "$layer" "$root"
mount -t tmpfs none "$layer"
mkdir "$layer/new" "$layer/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$layer/new,workdir=$layer/work" "$root"
for d in proc dev sys; do mount --rbind "/$d" "$root/$d"; done
mount -t proc proc "$root/proc"
mount -t tmpfs none "$root/run"
mount -t tmpfs none "$root/tmp"
cp "$work"/*.deb "$root/tmp/"
ip link set lo up
# systemd is played by a script that notes what it is told; what is enabled it
# knows by itself.
mkdir -p "$root/run/systemd/system"
rm -f "$root/usr/sbin/policy-rc.d"
mv "$root/usr/bin/systemctl" "$root/usr/bin/systemctl.real"
cat >"$root/usr/bin/systemctl" <<'SH'
#!/bin/sh
case "$*" in
*--root=* | *is-enabled*) exec systemctl.real "$@" ;;
*is-active*) test -e /run/holdfast/holdfast.sock ;;
*) echo "$*" >>/run/told ;;
esac
SH
chmod 755 "$root/usr/bin/systemctl"
cp "$root/etc/passwd" "$root/etc/group" "$root/run/"

within() { chroot "$root" "$@"; }

# told FIXED-TEXT: the last action has told systemd so.
told() {
  grep -qF -- "$1" "$root/run/told" || fail "systemd was not told $1, but: $(cat "$root/run/told")"
}

# action dpkg-ARGUMENTS
action() {
  : >"$root/run/told"
  within dpkg "$@" >"$root/run/log" 2>&1 || fail "dpkg $*: $(cat "$root/run/log")"
}

# start the router as its unit does.
start() {
  local line
  line=$(sed -n 's/^ExecStart=//p' "$root/usr/lib/systemd/system/holdfast.service")
  install -d -m 755 -o "$(within id -u holdfast)" -g "$(within id -g holdfast)" "$root/run/holdfast"
  install -d -m 700 -o "$(within id -u holdfast)" -g "$(within id -g holdfast)" "$root/var/lib/holdfast"
  local caps=+net_bind_service,+net_admin,+net_raw
  # shellcheck disable=SC2086 # words of a command line
  chroot "$root" setpriv --reuid holdfast --regid holdfast --groups holdfast-view --inh-caps "-all,$caps" --ambient-caps "-all,$caps" \
    --bounding-set "-all,$caps" --no-new-privs $line 2>"$root/run/holdfast.log" &
  router=$!
  local i
  for i in $(seq 100); do
    within holdfast show summary >/dev/null 2>&1 && return
    kill -0 "$router" 2>/dev/null || break
    sleep 0.1
  done
  fail "the router does not run: $(cat "$root/run/holdfast.log")"
}

# changed lists what differs from the system as it was, but for what dpkg and
# its triggers note down.
changed() {
  (cd "$layer/new" && find . -not -type d -printf '%P\n') |
    grep -vE '^(var/lib/dpkg/|var/log/|var/cache/|usr/bin/systemctl|usr/sbin/policy-rc\.d|etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|etc/\.pwd\.lock|var/lib/systemd/deb-systemd-helper-masked)' | sort
}

echo "== install"
action -i "/tmp/holdfast_0.0.1-1_$(dpkg --print-architecture).deb"
told "--system daemon-reload"
told "start holdfast.service"
[ -L "$root/etc/systemd/system/multi-user.target.wants/holdfast.service" ] || fail "the unit is not enabled"
[ "$(within stat -c '%a %U %G' /etc/holdfast)" = "2750 root holdfast" ] || fail "/etc/holdfast is $(within stat -c '%a %U %G' /etc/holdfast)"
within dpkg -V holdfast || fail "the files are not those of the package"
within systemd-analyze verify --man=no /usr/lib/systemd/system/holdfast.service || fail "the unit"
for page in 8/holdfast.8 5/holdfast.hcl.5; do
  warnings=$(LC_ALL=C.UTF-8 within man --warnings -E UTF-8 -l -Tutf8 -Z "/usr/share/man/man$page.gz" 2>&1 >/dev/null)
  [ -z "$warnings" ] || fail "$page: $warnings"
done
within bash -n /usr/share/bash-completion/completions/holdfast
within ip route add blackhole 203.0.113.0/24 proto holdfast
within ip route show | grep -q 'proto holdfast' || fail "ip does not know the protocol: $(within ip route show)"

echo "== run"
within holdfast check >/dev/null 2>&1 && fail "there is a configuration"
umask 027
cat >"$root/etc/holdfast/holdfast.hcl" <<'HCL'
router {
  asn    = 64500
  id     = "192.0.2.1"
  kernel = false
}
neighbor "n" {
  address       = "127.0.0.2"
  asn           = 64501
  passive       = true
  password_file = "n.key"
}
HCL
echo secret >"$root/etc/holdfast/n.key"
within chown holdfast /etc/holdfast/n.key
chmod 400 "$root/etc/holdfast/n.key"
start
within ss -ltn | grep -q '0.0.0.0:179 ' || fail "nobody listens on port 179: $(within ss -ltn)"
within holdfast reload >/dev/null
within setpriv --reuid nobody --regid nogroup --groups holdfast-view holdfast show neighbors >/dev/null || fail "holdfast-view may not look"
within setpriv --reuid nobody --regid nogroup --groups holdfast-view holdfast reload 2>/dev/null && fail "holdfast-view may reload"

echo "== upgrade"
action -i "/tmp/holdfast_0.0.2-1_$(dpkg --print-architecture).deb"
told "restart holdfast.service"
kill -0 "$router" || fail "the router did not survive until it is restarted"
within holdfast show summary >/dev/null || fail "the new commands do not understand the running router"
kill "$router"
wait "$router" || fail "the router did not end well: $(cat "$root/run/holdfast.log")"
start

echo "== remove"
action -r holdfast
told "stop holdfast.service"
kill "$router"
wait "$router" || true
rm -rf "$root/run/holdfast" # RuntimeDirectory=
left=$(changed | grep -vE '^(etc/holdfast/|var/lib/holdfast/|etc/iproute2/rt_protos\.d/holdfast\.conf$|etc/systemd/system/|var/lib/systemd/)') && fail "it leaves more than configuration and state: $left"
[ -e "$root/etc/holdfast/holdfast.hcl" ] && [ -d "$root/var/lib/holdfast" ] || fail "remove takes configuration or state"

echo "== purge"
action -P holdfast
left=$(changed) && [ -n "$left" ] && fail "purge leaves $left"
for d in etc/holdfast var/lib/holdfast usr/share/doc/holdfast etc/iproute2/rt_protos.d/holdfast.conf; do
  [ ! -e "$root/$d" ] || fail "purge leaves /$d"
done
cmp "$root/etc/passwd" "$root/run/passwd" && cmp "$root/etc/group" "$root/run/group" || fail "purge leaves users or groups"
echo "== the package installs, runs, is upgraded, removed and purged"
