#!/usr/bin/env bash
# Sends malformed bodies to the webhook and runs schemathesis on the whole API, in a separate
# environment with the fuzzers (.venv-fuzz). Exits with 1 if anything was found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh

VENV=.venv-fuzz
STAMP=$VENV/.installed
WANTED=$(cat requirements/runtime.lock requirements/fuzz.lock | sha256sum)

if [ "$(cat $STAMP 2>/dev/null || true)" != "$WANTED" ]; then
    say "Creating an environment with the fuzzers; the first time takes a minute"
    .venv/bin/python -m venv --clear $VENV
    $VENV/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
        --require-hashes --no-deps -r requirements/runtime.lock -r requirements/fuzz.lock
    echo "$WANTED" >$STAMP
fi
exec env PYTHONPATH=. $VENV/bin/python -m tests.fuzz --payloads "${1:-200000}"
