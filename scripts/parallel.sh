#!/usr/bin/env bash
# All tests that run in parallel. Arguments are passed to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Most tests wait for real processes, so several run on each core: on two cores six workers take
# a quarter less time than four. A file's tests stay together, because some share a running stack.
exec scripts/pytest.sh -n "${TESTS_AT_ONCE:-6}" --dist loadfile --no-loadscope-reorder "$@"
