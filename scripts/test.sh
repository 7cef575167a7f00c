#!/usr/bin/env bash
# Lint, then all tests that run in parallel. The last line is pytest's summary. Arguments are passed to
# pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh

# In a new clone each worker would compile the same 600 files of tests: one process does it meanwhile.
[ -d tests/unit/domain/__pycache__ ] || scripts/pytest.sh --collect-only -q >/dev/null 2>&1 &
scripts/lint.sh
wait
say "Running the tests"
scripts/parallel.sh "$@"
