#!/usr/bin/env bash
# Lint, then all tests that run in parallel. The last line is pytest's summary. Arguments are passed to
# pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh

scripts/lint.sh
say "Running the tests"
scripts/parallel.sh "$@"
