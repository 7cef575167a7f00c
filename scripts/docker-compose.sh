#!/usr/bin/env bash
# Install Docker Compose below FOLDER, if there is none: built from its source with Go.
#
#     scripts/docker-compose.sh FOLDER       # then: export DOCKER_CONFIG=FOLDER
#
# Ends with 1 and the reason where it cannot be built.
set -euo pipefail

folder=$(realpath -m "${1:?usage: docker-compose.sh FOLDER}")
fail() {
    echo "no Docker Compose: $*" >&2
    exit 1
}
version=v2.39.4
mkdir -p "$folder/cli-plugins"
if docker compose version >/dev/null 2>&1; then exit 0; fi
command -v go >/dev/null || fail "it is not installed, and there is no Go to build it"
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
cd "$source"
{ go mod init compose && go get "github.com/docker/compose/v2/cmd@$version" &&
    go build -o "$folder/cli-plugins/docker-compose" github.com/docker/compose/v2/cmd; } \
    >"$folder/compose.log" 2>&1 || fail "$(tail -1 "$folder/compose.log")"
