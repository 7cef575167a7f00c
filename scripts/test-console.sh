#!/usr/bin/env bash
# Goes through the console in Chromium, which is installed from Debian when it is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh
. scripts/packages.sh

have chromium || install_packages chromium
exec scripts/pytest.sh -m browser -s tests/browser
