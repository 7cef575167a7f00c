#!/usr/bin/env bash
# Lint, then all tests that run in parallel. The last line is pytest's own summary. Arguments go to
# pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh

scripts/lint.sh

# Safety depends on the decisions: the unit tests cover every branch of domain.
say "Checking the coverage of trading_ops/domain"
report=$(mktemp)
trap 'rm -f "$report"' EXIT
rm -f .coverage .coverage.*
if ! scripts/pytest.sh -q tests/unit/domain tests/unit/reconciler/test_clocks.py \
    --cov=trading_ops.domain --cov-branch \
    --cov-report=term-missing:skip-covered --cov-fail-under=100 >"$report" 2>&1; then
    cat "$report"
    die "the unit tests of trading_ops/domain must pass and cover every branch"
fi

say "Running the tests"
scripts/parallel.sh "$@"
