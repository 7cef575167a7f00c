#!/usr/bin/env bash
# Measures on this machine: how long a command takes to start, how long until everything is ready
# (from nothing, and again), and the memory of each process. Uses a var folder of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh

TRADING_OPS_VAR=$(mktemp -d)
export TRADING_OPS_VAR
clean_up() {
    .venv/bin/trading-ops down >/dev/null 2>&1 || true
    rm -rf "$TRADING_OPS_VAR"
}
trap clean_up EXIT

measure() { # WHAT COMMAND...: says how long the command took; ends everything if it fails
    local what=$1 began ended
    shift
    began=$(date +%s.%N)
    "$@" >/dev/null
    ended=$(date +%s.%N)
    awk -v what="$what" -v began="$began" -v ended="$ended" \
        'BEGIN { printf "%-34s %.2f s\n", what, ended - began }'
}

measure "trading-ops --help" .venv/bin/trading-ops --help
measure "up --detach, an empty folder" .venv/bin/trading-ops up --detach
measure "down" .venv/bin/trading-ops down
measure "up --detach, the second time" .venv/bin/trading-ops up --detach
say ""
say "After ten seconds of work:"
sleep 10
.venv/bin/trading-ops status --memory
.venv/bin/trading-ops down >/dev/null
say ""
for bench in intake storm passes latency outages recorder watchers nonces; do
    .venv/bin/python -m "tests.bench.$bench"
    say ""
done
.venv/bin/python -m tests.bench.leaks --seeds 20
say ""
.venv/bin/python -m tests.bench.audit
