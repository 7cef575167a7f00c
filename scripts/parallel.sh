#!/usr/bin/env bash
# All tests that run in parallel. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Most tests wait for real processes: twice as many at once as there are cores, on a small machine,
# halve the time. A file's tests stay together, because some share a running stack.
exec scripts/pytest.sh -n "${TESTS_AT_ONCE:-4}" --dist loadfile --no-loadscope-reorder "$@"
