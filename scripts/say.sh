# Sourced by the other scripts: one line per step, one sentence per error.
# shellcheck shell=bash

say() { printf '%s\n' "$*"; }

die() {
    printf 'Error: %s\n' "$*" >&2
    exit 1
}
