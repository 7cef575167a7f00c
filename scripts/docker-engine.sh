#!/usr/bin/env bash
# Start a Docker engine of its own below FOLDER, for the tests that need one:
#
#     scripts/docker-engine.sh FOLDER        # prints DOCKER_HOST of the engine; its pid is in FOLDER/pid
#
# Installs Debian's docker.io if there is no dockerd. The engine touches no network of the host: no
# bridge, no iptables. Ends with 1 and the reason where an engine cannot run, for example without root.
set -euo pipefail

folder=$(realpath -m "${1:?usage: docker-engine.sh FOLDER}")
fail() {
    echo "no Docker engine: $*" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail "root rights are needed"
mkdir -p "$folder"
PATH=$PATH:/usr/sbin:/sbin
if ! command -v dockerd >/dev/null; then
    command -v apt-get >/dev/null || fail "dockerd is not installed, and there is no apt-get"
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -q --no-install-recommends docker.io; } >"$folder/apt.log" 2>&1 ||
        fail "apt-get install docker.io: $(tail -1 "$folder/apt.log")"
fi
socket=$folder/docker.sock
nohup dockerd --data-root "$folder/data" --exec-root "$folder/exec" --host "unix://$socket" \
    --pidfile "$folder/pid" --bridge none --iptables=false --ip6tables=false \
    >"$folder/log" 2>&1 </dev/null &
engine=$!
for _ in $(seq 120); do
    if DOCKER_HOST=unix://$socket docker version >/dev/null 2>&1; then
        echo "unix://$socket"
        exit 0
    fi
    kill -0 "$engine" 2>/dev/null || break
    sleep 0.25
done
kill "$engine" 2>/dev/null || true
fail "dockerd did not start: $(tail -1 "$folder/log")"
