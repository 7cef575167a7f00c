#!/usr/bin/env bash
# Install Docker Compose below FOLDER, if there is none: built from its source with Go.
#
#     scripts/docker-compose.sh FOLDER       # then: export DOCKER_CONFIG=FOLDER
#
# Takes what no one else needs of the processor: tests may run meanwhile. Ends with 1 and the reason
# where it cannot be built.
set -euo pipefail

folder=$(realpath -m "${1:?usage: docker-compose.sh FOLDER}")
fail() {
    echo "no Docker Compose: $*" >&2
    exit 1
}
if docker compose version >/dev/null 2>&1; then exit 0; fi
version=v2.39.4
mkdir -p "$folder/cli-plugins"
command -v go >/dev/null || fail "it is not installed, and there is no Go to build it"
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
cd "$source"
{ go mod init compose && go get "github.com/docker/compose/v2/cmd@$version" &&
    chrt --idle 0 go build -ldflags "-X github.com/docker/compose/v2/internal.Version=$version" \
        -o "$folder/cli-plugins/docker-compose" github.com/docker/compose/v2/cmd; } \
    >"$folder/compose.log" 2>&1 || fail "$(tail -1 "$folder/compose.log")"
