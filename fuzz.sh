#!/usr/bin/env bash
# Every fuzz target for a while each: ./fuzz.sh 20s
set -euo pipefail
cd "$(dirname "$0")"
grep -rno --include='*_test.go' 'func Fuzz[A-Za-z0-9_]*' . | sed 's/:[0-9]*:func / /' | sort |
  while read -r file target; do
    echo "== $target ($(dirname "$file"))"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${1:-20s}" "$(dirname "$file")"
  done
