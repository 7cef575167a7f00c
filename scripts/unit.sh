#!/usr/bin/env bash
# The tests that start no server: decisions, parsing, metrics. Arguments are passed to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

exec scripts/pytest.sh -n 2 --dist loadfile tests/unit tests/property "$@"
