#!/bin/sh
# Makes holdfastv1/ from holdfast.proto. Needs protoc (Debian:
# protobuf-compiler); the plugins have the versions of go.mod.
set -eu
cd "$(dirname "$0")"
command -v protoc >/dev/null || { echo "cannot find protoc: apt install protobuf-compiler" >&2; exit 1; }
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -o "$bin" google.golang.org/protobuf/cmd/protoc-gen-go connectrpc.com/connect/cmd/protoc-gen-connect-go
PATH="$bin:$PATH" protoc -I . --go_out=../.. --go_opt=module=holdfast \
	--connect-go_out=../.. --connect-go_opt=module=holdfast holdfast.proto
