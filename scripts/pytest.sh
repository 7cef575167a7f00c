#!/usr/bin/env bash
# pytest with an environment of its own: Python's settings of the caller must not change what is
# tested; nor must ours. Arguments go to pytest.
#   VENV=FOLDER    names the virtual environment; without it .venv
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

unset PYTHONPATH PYTHONWARNINGS PYTHONDONTWRITEBYTECODE
for name in "${!TRADING_OPS_@}"; do unset "$name"; done

exec "${VENV:-.venv}/bin/python" -m pytest "$@"
