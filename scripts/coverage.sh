#!/usr/bin/env bash
# The tests of `make test` and `make test-processes` with coverage, including the processes that they
# start. This takes twice as long. Arguments are passed to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh

LEAST_COVERAGE=90
MARKED='not (slow or long or attacks or browser or compose or faults or hosts or kubernetes)'

rm -f .coverage .coverage.*
scripts/parallel.sh -m "$MARKED" --cov --cov-report=term:skip-covered --cov-fail-under="$LEAST_COVERAGE" "$@"
# Safety depends on the decisions: every branch of domain is covered.
.venv/bin/python -m coverage report --include='trading_ops/domain/*' --fail-under=100 ||
    die "every branch of trading_ops/domain must be covered"
