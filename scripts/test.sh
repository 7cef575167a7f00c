#!/usr/bin/env bash
# Lint and all tests that run in parallel, at the same time: in a new clone the type check needs one core
# for minutes. The last line is pytest's summary, or an error when lint failed. Arguments are passed to
# pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh

report=$(mktemp)
trap 'rm -f "$report"' EXIT
lint() {
    if ! scripts/lint.sh >"$report" 2>&1; then
        cat "$report" >&2
        return 1
    fi
}
say "Running lint and the tests"
lint &
# In a new clone each worker would compile the same 600 files of tests: one process does it first.
[ -d tests/unit/domain/__pycache__ ] || scripts/pytest.sh --collect-only -q >/dev/null 2>&1 || true
status=0
scripts/parallel.sh "$@" || status=$?
wait $! || die "lint failed: its output is above"
exit "$status"
