#!/usr/bin/env bash
# pytest with a clean environment: the caller's Python and trading-ops settings must not affect the
# tests; only TRADING_OPS_TEST_… is kept. Arguments are passed to pytest.
#   VENV=FOLDER    the virtual environment; default .venv
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

unset PYTHONPATH PYTHONWARNINGS PYTHONDONTWRITEBYTECODE
for name in "${!TRADING_OPS_@}"; do
    case $name in TRADING_OPS_TEST_*) ;; *) unset "$name" ;; esac
done

exec "${VENV:-.venv}/bin/python" -m pytest "$@"
