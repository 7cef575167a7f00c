# Sourced by the other scripts: one line a step, one sentence for an error.
# shellcheck shell=bash

say() { printf '%s\n' "$*"; }

die() {
    printf 'Error: %s\n' "$*" >&2
    exit 1
}
