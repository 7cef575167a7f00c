#!/usr/bin/env bash
# Kills the reconciler many times, half on SQLite and half on PostgreSQL, at every named step and
# (SQLite, with strace) at write system calls. Exits with 1 if anything was lost, repeated or stuck.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh

kills=${1:-2000}
status=0
for database in sqlite postgresql; do
    .venv/bin/python -m tests.crash --kills $((kills / 2)) --database "$database" || status=1
    say ""
done
exit "$status"
