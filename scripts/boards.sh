#!/usr/bin/env bash
# Regenerates the dashboards and checks that every panel has data: each query is sent to the Prometheus
# given as the first argument, or to that of `make up` if it is running.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ -n "${1:-}" ]; then
    exec .venv/bin/python -m grafana.boards --check --prometheus "$1"
fi
exec .venv/bin/python -m grafana.boards --check --running
