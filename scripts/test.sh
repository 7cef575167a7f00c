#!/usr/bin/env bash
# Lint, then the tests in one run with coverage, processes included. The last line is pytest's
# own summary. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh

LEAST_COVERAGE=90

# Most tests wait for real processes: twice as many at once as there are cores, on a small machine,
# halve the time. A file's tests stay together, for some share a running stack.
TESTS_AT_ONCE=${TESTS_AT_ONCE:-4}

scripts/lint.sh

rm -f .coverage .coverage.*
output=$(mktemp)
trap 'rm -f "$output"' EXIT
say "Running the tests"
status=0
scripts/pytest.sh -n "$TESTS_AT_ONCE" --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered \
    --cov-fail-under="$LEAST_COVERAGE" "$@" 2>&1 | tee "$output" || status=$?

# The decisions are the heart of the safety: every branch of domain is covered.
if [ "$status" = 0 ] && [ "$#" = 0 ]; then
    if ! report=$(.venv/bin/python -m coverage report --include='trading_ops/domain/*' \
        --fail-under=100 2>&1); then
        say "$report"
        say "Error: trading_ops/domain must be covered whole, branches too"
        status=1
        tail -n 1 "$output"
    fi
fi
exit "$status"
