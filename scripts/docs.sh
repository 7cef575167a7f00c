#!/usr/bin/env bash
# Builds the documentation as a web site with search in var/docs/site, and the man page beside it. A
# link to a page, file or heading that does not exist fails the build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh

VENV=.venv-docs
STAMP=$VENV/.installed
WANTED=$(sha256sum <requirements/docs.lock)

if [ "$(cat $STAMP 2>/dev/null || true)" != "$WANTED" ]; then
    say "Creating an environment with MkDocs; the first time takes a minute"
    .venv/bin/python -m venv --clear $VENV
    $VENV/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
        --require-hashes --no-deps -r requirements/docs.lock
    echo "$WANTED" >$STAMP
fi

.venv/bin/python -m trading_ops.cli.documents --check
.venv/bin/python scripts/docs_pages.py var/docs/pages
$VENV/bin/mkdocs build --quiet --strict
.venv/bin/python -m trading_ops.cli.documents --man >var/docs/trading-ops.1
say "The site is in var/docs/site, the man page is var/docs/trading-ops.1"
