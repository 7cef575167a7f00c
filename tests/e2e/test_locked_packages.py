"""What a new user's first command installs: the locked packages, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

LOCK = Path(__file__).parents[2] / "requirements" / "runtime.lock"


def test_the_lock_is_complete() -> None:
    """With hashes pip refuses a dependency without a pin. The one of the tests is in use here."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"),
            *("--quiet", "--require-hashes", "--requirement", LOCK),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
