#!/usr/bin/env bash
# Checks format, style, types and the import contracts; one line each.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh

say "Checking the format";           .venv/bin/ruff format --check --quiet .
say "Checking style";                .venv/bin/ruff check --quiet .
say "Checking types";                .venv/bin/mypy
say "Checking the import contracts"; .venv/bin/lint-imports | tail -n 20
