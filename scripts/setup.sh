#!/usr/bin/env bash
# Installs the prerequisites: a virtual environment from the locked requirements, and Prometheus and
# Alertmanager from the PATH or from Debian. Idempotent.
#
#   scripts/setup.sh          what `make up` needs
#   scripts/setup.sh --dev    also what `make test` needs, including PostgreSQL
#   PYTHON=/path/to/python    the Python to use
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh
. scripts/packages.sh

PURPOSE=runtime
[ "${1:-}" = --dev ] && PURPOSE=dev
VENV=.venv
STAMP=$VENV/.installed-$PURPOSE

# The inputs of the environment; it is reinstalled when they change.
fingerprint() {
    cat "requirements/runtime.lock" "requirements/$PURPOSE.lock" pyproject.toml | sha256sum
    pwd # a moved or copied environment does not work
}

up_to_date() {
    [ -x $VENV/bin/trading-ops ] && [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$(fingerprint)" ]
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local name
    for name in ${PYTHON:+"$PYTHON"} python3.11 python3 python3.12 python3.13; do
        if command -v "$name" >/dev/null && new_enough "$name"; then
            # The resolved interpreter, not a shim or link.
            "$name" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    local found
    found=$(python3 -c 'import platform; print(platform.python_version())' 2>/dev/null || echo none)
    die "Python 3.11 or newer is needed and only ${found} was found: install it (Debian 12:" \
        "apt-get install python3), or name one with PYTHON=/path/to/python3.11"
}

main() {
    local tools python='' missing
    remove_left_policy
    tools=$(missing_tool_packages)
    [ "$PURPOSE" = runtime ] || tools="$tools $(missing_test_packages)"
    if up_to_date && [ -z "${tools// /}" ]; then
        return
    fi
    up_to_date || python=$(find_python)
    missing=$tools
    if [ -n "$python" ] && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        missing="$(venv_package "$python") $missing"
    fi
    # Word splitting is wanted: package names have no spaces.
    # shellcheck disable=SC2086
    [ -z "${missing// /}" ] || install_packages $missing
    [ -z "$python" ] || make_environment "$python"
}

make_environment() {
    [ -w . ] || die "the folder $(pwd) is read-only, so the virtual environment cannot be made:" \
        "copy the project to a folder that you can write"
    if ! { [ -x $VENV/bin/python ] && new_enough $VENV/bin/python && works $VENV; }; then
        say "Creating the virtual environment with $1"
        "$1" -m venv --clear $VENV
    fi
    rm -f "$STAMP"
    say "Installing the locked Python packages ($PURPOSE); the first time takes a minute"
    # The lock is complete, so nothing is left to resolve: pip 23 would otherwise look up a newer
    # release for each requirement with an extra, and refuse it because it has no hash.
    pip_install --no-deps --require-hashes -r "requirements/$PURPOSE.lock"
    pip_install --no-deps --no-build-isolation -e .
    fingerprint >"$STAMP"
    say "The virtual environment is ready"
}

# Whether the environment was created in this folder and has pip.
works() {
    grep -qF "$(pwd)/$1" "$1/bin/activate" 2>/dev/null && "$1/bin/python" -m pip --version >/dev/null 2>&1
}

pip_install() {
    local output
    output=$(mktemp)
    if ! $VENV/bin/python -m pip install --quiet --disable-pip-version-check --no-input "$@" \
        >"$output" 2>&1; then
        tail -n 15 "$output" >&2
        rm -f "$output"
        die "pip could not install the packages (see above): check the connection to your package" \
            "index and run this again"
    fi
    rm -f "$output"
}

main
