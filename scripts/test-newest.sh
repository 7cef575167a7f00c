#!/usr/bin/env bash
# Tests with another Prometheus and Alertmanager than those on the PATH: rule unit tests, routes, delays,
# pages, claims, and the eight fastest drills (these on both versions).
# $1: the folder with the other prometheus, promtool, alertmanager and amtool. $2, $3: the versions of
# Prometheus and Alertmanager there, for builds without a version. Writes docs/newest.json and
# the table in docs/proofs.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh

BINARIES=${1:-}
if [ -z "$BINARIES" ]; then
    say "Name the folder of the other binaries: make test-newest BINARIES=FOLDER" >&2
    exit 2
fi
for tool in prometheus promtool alertmanager amtool; do
    if [ ! -x "$BINARIES/$tool" ]; then
        say "$BINARIES has no $tool; it must have prometheus, promtool, alertmanager and amtool" >&2
        exit 2
    fi
done
BINARIES=$(cd "$BINARIES" && pwd)

unset PYTHONPATH PYTHONWARNINGS PYTHONDONTWRITEBYTECODE
for name in "${!TRADING_OPS_@}"; do unset "$name"; done

say "The drills on $(prometheus --version 2>&1 | head -n 1)"
.venv/bin/python -m tests.newest
PATH=$BINARIES:$PATH
export PATH
say "The drills on $(prometheus --version 2>&1 | head -n 1)"
.venv/bin/python -m tests.newest "${@:2}"
say "The rules, routes, delays, pages and claims"
scripts/rules.sh
exec .venv/bin/python -m pytest -n 2 --dist loadfile tests/rules/test_{adopt,claims_live,delay_live,pages_live,dead_man_switch_live}.py \
    tests/rules/test_{alertmanager_live,alertmanager_examples_live}.py
