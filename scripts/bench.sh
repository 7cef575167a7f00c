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

seconds() { # COMMAND...: prints how long it took
    local began ended
    began=$(date +%s.%N)
    "$@" >/dev/null
    ended=$(date +%s.%N)
    awk -v began="$began" -v ended="$ended" 'BEGIN { printf "%.2f s\n", ended - began }'
}

say "trading-ops --help:               $(seconds .venv/bin/trading-ops --help)"
say "up --detach, an empty folder:     $(seconds .venv/bin/trading-ops up --detach)"
say "down:                             $(seconds .venv/bin/trading-ops down)"
say "up --detach, the second time:     $(seconds .venv/bin/trading-ops up --detach)"
say ""
say "After ten seconds of work:"
sleep 10
.venv/bin/trading-ops status --memory
