#!/usr/bin/env bash
# The Debian package, with nothing but Go and dpkg: packaging/deb.sh [DIRECTORY]
#
# The same commit makes the same package, bit for bit. VERSION and ARCH, in
# Debian's words, are for others than this version and this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-dist}")

if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) || { echo "deb.sh: no git here: say of when the source is, SOURCE_DATE_EPOCH=…" >&2; exit 1; }
fi
export SOURCE_DATE_EPOCH
ARCH=${ARCH:-$(dpkg --print-architecture)}
case $ARCH in
  i386) goarch=386 ;;
  armhf) goarch=arm ;;
  ppc64el) goarch=ppc64le ;;
  *) goarch=$ARCH ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
umask 022
mkdir -p "$root/usr/bin" "$out"
export CGO_ENABLED=0

GOARCH=$goarch go build -trimpath -ldflags='-s -w' -o "$root/usr/bin/holdfast" ./cmd/holdfast
here=$root/usr/bin/holdfast
if [ "$goarch" != "$(go env GOHOSTARCH)" ]; then
  here=$work/holdfast
  go build -trimpath -o "$here" ./cmd/holdfast
fi

# A version under development comes before the one that it becomes.
if [ -z "${VERSION:-}" ]; then
  VERSION=$("$here" version --json --socket "$work/none" | sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' | head -1)
  case $VERSION in
    *-*) VERSION=${VERSION%%-*}~${VERSION#*-}+$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d) ;;
  esac
  VERSION=$VERSION-1
fi

put() { install -D -m "${3:-644}" "$1" "$root/$2"; }

put packaging/holdfast.service usr/lib/systemd/system/holdfast.service
put packaging/debian/rt_protos etc/iproute2/rt_protos.d/holdfast.conf
mkdir -p "$root/usr/share/bash-completion/completions" "$root/usr/share/fish/vendor_completions.d" "$root/usr/share/zsh/vendor-completions"
"$here" completion bash >"$root/usr/share/bash-completion/completions/holdfast"
"$here" completion fish >"$root/usr/share/fish/vendor_completions.d/holdfast.fish"
"$here" completion zsh >"$root/usr/share/zsh/vendor-completions/_holdfast"

go run ./packaging/man -version "$VERSION" -date "$(date -u -d "@$SOURCE_DATE_EPOCH" +%F)" "$work"
for page in holdfast.8 holdfast.hcl.5; do
  gzip -9n "$work/$page"
  put "$work/$page.gz" "usr/share/man/man${page##*.}/$page.gz"
done

doc=usr/share/doc/holdfast
for f in README.md docs/*.md; do
  put "$f" "$doc/$([ "$f" = docs/README.md ] && echo index.md || basename "$f")"
done
for f in docs/examples/*; do put "$f" "$doc/examples/$(basename "$f")"; done
for f in packaging/prometheus/*; do put "$f" "$doc/examples/prometheus/$(basename "$f")"; done
gzip -9nc CHANGELOG.md >"$work/changelog.gz"
put "$work/changelog.gz" "$doc/changelog.gz"
printf 'holdfast (%s) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' "$VERSION" \
  "$(sed -n 's/^Maintainer: //p' packaging/debian/control)" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$work/changelog.Debian.gz"
put "$work/changelog.Debian.gz" "$doc/changelog.Debian.gz"
put packaging/debian/lintian usr/share/lintian/overrides/holdfast
# The program contains these, whose licences want to be named.
{
  sed "s/@YEAR@/$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y)/" packaging/debian/copyright
  GOARCH=$goarch go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/holdfast | LC_ALL=C sort -u |
    while read -r module version dir; do
      for licence in "$dir"/LICENSE* "$dir"/License* "$dir"/COPYING*; do
        [ -e "$licence" ] || continue
        grep -q 'Apache License' "$licence" && licence=packaging/debian/apache
        printf '\nFiles: usr/bin/holdfast\nCopyright: the authors of %s\nComment: of the module in its version %s\nLicense: of-%s\n' "$module" "$version" "${module//\//-}"
        # Where the other choice is the GPL, ours is the one before it.
        sed '/GNU GENERAL PUBLIC LICENSE/,$d; s/\r$//; s/^[[:space:]]*$/./; s/^/ /' "$licence"
      done
    done
} >"$work/copyright"
put "$work/copyright" "$doc/copyright"

mkdir -p "$root/DEBIAN"
for script in postinst prerm postrm; do
  put "packaging/debian/$script" "DEBIAN/$script" 755
done
echo /etc/iproute2/rt_protos.d/holdfast.conf >"$root/DEBIAN/conffiles"
size=$(find "$root" -path "$root/DEBIAN" -prune -o -type f -printf '%s\n' | awk '{n += int(($1 + 1023) / 1024)} END {print n}')
sed "s/@VERSION@/$VERSION/; s/@ARCH@/$ARCH/; s/@SIZE@/$size/" packaging/debian/control >"$root/DEBIAN/control"
(cd "$root" && find . -type f -not -path './DEBIAN/*' -printf '%P\n' | LC_ALL=C sort | xargs md5sum) >"$root/DEBIAN/md5sums"
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

package=$out/holdfast_${VERSION}_$ARCH.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$package" >/dev/null
echo "$package"
