"""A slice of `make crash`, run as it is run: that one has far more deaths, and on both databases.

`test_crash_defects` proves that it can fail.
"""

import os
import subprocess
import sys

import pytest

from tests.crash.fork_server import ROOT

pytestmark = pytest.mark.slow


def crash(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the sweep with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "tests.crash", *arguments],
        cwd=ROOT,
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_nothing_is_lost_repeated_or_stuck() -> None:
    """A hundred kills, each named step among them."""
    done = crash("--kills", "100", "--fail-fast", "--settle", "180")
    assert done.returncode == 0, done.stdout + done.stderr
