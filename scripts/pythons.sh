#!/usr/bin/env bash
# The unit tests on the other installed Python versions. Missing versions are reported and skipped.
# Arguments: the versions; default 3.12 and 3.13.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh

# Print the path of an interpreter of this version.
find_python() {
    local name
    for name in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
        if "$name" -c "import ensurepip, sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
            printf '%s\n' "$name"
            return
        fi
    done
    return 1
}

status=0
[ "$#" -gt 0 ] || set -- 3.12 3.13
for version in "$@"; do
    if ! python=$(find_python "$version"); then
        say "Python $version is not installed: its unit tests are skipped"
        continue
    fi
    venv=.venv-$version
    wanted=$(cat requirements/dev.lock pyproject.toml | sha256sum)
    if [ "$(cat "$venv/.installed" 2>/dev/null)" != "$wanted" ]; then
        say "Installing the locked packages for Python $version"
        "$python" -m venv --clear "$venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
            --no-deps --require-hashes -r requirements/dev.lock
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
            --no-deps --no-build-isolation -e .
        printf '%s' "$wanted" >"$venv/.installed"
    fi
    say "Running the unit tests on Python $version"
    VENV=$venv scripts/unit.sh || status=1
done
exit "$status"
