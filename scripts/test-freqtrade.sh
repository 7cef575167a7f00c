#!/usr/bin/env bash
# Tests exporter, alerts and control with a real Freqtrade, in a dry run on a small fake exchange.
# Freqtrade is installed in a separate environment (.venv-freqtrade, 800 MB); the tests have no network
# except loopback if the kernel allows that. The last line is pytest's summary. Arguments are passed to
# pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh

VENV=.venv-freqtrade
STAMP=$VENV/.installed
WANTED=$(
    sha256sum <requirements/freqtrade.lock
    pwd # a moved or copied environment does not work
)

if [ "$(cat $STAMP 2>/dev/null || true)" != "$WANTED" ]; then
    say "Creating an environment with Freqtrade; the first time takes a few minutes"
    .venv/bin/python -m venv --clear $VENV
    $VENV/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
        --require-hashes --no-deps --only-binary :all: --no-binary sdnotify \
        -r requirements/freqtrade.lock
    echo "$WANTED" >$STAMP
fi

unset PYTHONPATH PYTHONWARNINGS PYTHONDONTWRITEBYTECODE
for name in "${!TRADING_OPS_@}"; do unset "$name"; done

# One file with the stack, one without: run in parallel.
tests=(.venv/bin/python -m pytest tests/freqtrade --freqtrade "$VENV/bin/freqtrade"
    -n 2 --dist loadfile "$@")

if unshare -rn ip link set lo up 2>/dev/null; then
    exec unshare -rn sh -c 'ip link set lo up; exec "$@"' sh "${tests[@]}" --cut-off
fi
say "Network namespaces are not allowed here (unshare -rn): connections beyond loopback go undetected"
exec "${tests[@]}"
