#!/usr/bin/env bash
# All tests. As root on Debian the other routers that interop needs are
# installed with apt and run in network namespaces; elsewhere everything but
# interop runs, and what it would need is said.
set -euo pipefail
cd "$(dirname "$0")"

packages=(bird2 frr openbgpd gobgpd exabgp stayrtr iproute2 gcc libc6-dev systemd man-db tshark procps)
tools=(bird birdc vtysh /usr/lib/frr/bgpd /usr/lib/frr/zebra /usr/sbin/bgpd bgpctl gobgp gobgpd exabgp stayrtr ip gcc systemd-analyze man dpkg-deb tshark sysctl setpriv)

step() { printf '\n== %s (%ss)\n' "$*" "$SECONDS"; }

missing() {
  local tool
  for tool in "${tools[@]}"; do
    command -v "$tool" >/dev/null || echo "$tool"
  done
}

# install_peers installs what is missing. Debian starts daemons as they are
# installed; policy-rc.d is its way to forbid that.
install_peers() {
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

command -v go >/dev/null || { echo "test.sh needs Go 1.26 or newer: https://go.dev/dl/" >&2; exit 1; }

if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && [ -n "$(missing)" ]; then
  step "apt-get install ${packages[*]}"
  install_peers
fi

why_not=
if [ "$(uname -s)" != Linux ]; then
  why_not="it needs Linux"
elif [ "$(id -u)" != 0 ]; then
  why_not="it needs root for network namespaces: sudo ./test.sh"
elif [ -n "$(missing)" ]; then
  why_not="not installed here: $(missing | tr '\n' ' '); on Debian, ./test.sh installs them"
fi

race=-race
if ! command -v "${CC:-gcc}" >/dev/null || [ "$(go env CGO_ENABLED)" != 1 ]; then
  race=
  echo "no C compiler: the tests run without the race detector"
fi

step gofmt
unformatted=$(find . -name '*.go' -not -path '*/.*' -print0 | xargs -0 gofmt -l)
if [ -n "$unformatted" ]; then
  printf 'not formatted, run gofmt -w on:\n%s\n' "$unformatted" >&2
  exit 1
fi

step go vet
go vet -tags interop ./...

step go build
go build ./...

step go test $race
go test $race ./...

if [ -n "$why_not" ]; then
  printf '\nok, but INTEROP DID NOT RUN: %s\n' "$why_not"
  exit 0
fi

step interop
# They mostly wait, for timers and for other routers: more at once than there are
# processors.
go test $race -tags interop -count=1 -parallel 6 -timeout 20m ./internal/kernel ./testkit/netlab/... ./test/interop/...

step the Debian package
packaging/test.sh

step all tests passed
