#!/usr/bin/env bash
# The boards are as their source makes them, and every panel shows something: each query is put to
# the Prometheus that is given as the first argument, or to that of `make up` if it runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ -n "${1:-}" ]; then
    exec .venv/bin/python -m grafana.boards --check --prometheus "$1"
fi
exec .venv/bin/python -m grafana.boards --check --running
