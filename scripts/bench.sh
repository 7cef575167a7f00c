#!/usr/bin/env bash
# Measures on this machine: startup time of a command, time until the stack is ready (first and second
# start), memory of each process, and each bench of tests/bench. At the end it prints how many goals
# were met, and each missed one. Uses a separate var folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh

TRADING_OPS_VAR=$(mktemp -d)
export TRADING_OPS_VAR
OUTPUT=$(mktemp)
clean_up() {
    .venv/bin/trading-ops down >/dev/null 2>&1 || true
    rm -rf "$TRADING_OPS_VAR" "$OUTPUT"
}
trap clean_up EXIT

measure() { # WHAT COMMAND...: prints how long the command took; aborts on failure
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
run() { # MODULE [ARGUMENTS...]: one bench; its output is kept for the summary
    .venv/bin/python -m "tests.bench.$1" "${@:2}" 2>&1 | tee -a "$OUTPUT"
    say ""
}
for bench in intake storm passes latency outages recorder watchers nonces exporter databases \
    bot_orders bot_ticks console status records; do
    run "$bench"
done
run leaks --seeds 20
run audit
run heap

# A line may contain several goals.
met=$(grep goal "$OUTPUT" | grep -ow met | wc -l || true)
missed=$(grep goal "$OUTPUT" | grep -ow MISSED | wc -l || true)
say "goals: $met met, $missed missed"
grep MISSED "$OUTPUT" || true
