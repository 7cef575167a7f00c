#!/usr/bin/env bash
# The tests of `make test` with coverage, also of the processes that they start. This takes twice as
# long. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

LEAST_COVERAGE=90

rm -f .coverage .coverage.*
exec scripts/parallel.sh --cov --cov-report=term:skip-covered --cov-fail-under="$LEAST_COVERAGE" "$@"
