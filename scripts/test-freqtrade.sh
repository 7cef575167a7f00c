#!/usr/bin/env bash
# Proves exporter, alerts and control against the real Freqtrade, in a dry run on a small exchange of
# our own. Freqtrade lives in an environment of its own (.venv-freqtrade, 800 MB); the tests have no
# network but loopback where the kernel allows that. The last line is pytest's own summary.
# Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh

VENV=.venv-freqtrade
STAMP=$VENV/.installed
WANTED=$(
    sha256sum <requirements/freqtrade.lock
    pwd # an environment that was moved or copied does not work
)

if [ "$(cat $STAMP 2>/dev/null || true)" != "$WANTED" ]; then
    say "Making an environment with Freqtrade; the first time takes some minutes"
    .venv/bin/python -m venv --clear $VENV
    $VENV/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
        --require-hashes --no-deps --only-binary :all: --no-binary sdnotify \
        -r requirements/freqtrade.lock
    echo "$WANTED" >$STAMP
fi

unset PYTHONPATH PYTHONWARNINGS PYTHONDONTWRITEBYTECODE
for name in "${!TRADING_OPS_@}"; do unset "$name"; done

# One file with the stack, one without: side by side they take as long as the longer one.
tests=(.venv/bin/python -m pytest tests/freqtrade --freqtrade "$VENV/bin/freqtrade"
    -n 2 --dist loadfile "$@")

if unshare -rn ip link set lo up 2>/dev/null; then
    exec unshare -rn sh -c 'ip link set lo up; exec "$@"' sh "${tests[@]}" --cut-off
fi
say "No network of its own is allowed here (unshare -rn): what would reach beyond loopback is not seen"
exec "${tests[@]}"
