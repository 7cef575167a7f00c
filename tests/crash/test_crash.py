"""A slice of `make crash`, and the proof that it can fail.

Each run is a command of its own, as `make crash` starts it; the whole sweep has ten times the
deaths and both databases.
"""

import os
import subprocess
import sys

import pytest

from tests.crash.lives import ROOT
from tests.crash.plants import PLANTS


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
    """Two hundred kills, each named step among them."""
    done = crash("--kills", "200", "--fail-fast")
    assert done.returncode == 0, done.stdout + done.stderr


FINDS = {
    "acknowledge-early": "acknowledged lost",
    "repeat-unknown": "one-shot repeated",
    "never-probe": "stuck",
    "break-chain": "integrity",
}


@pytest.mark.parametrize("plant", sorted(PLANTS))
def test_a_broken_promise_is_found(plant: str) -> None:
    """The same sweep over a reconciler with a planted defect must fail, and say of what."""
    done = crash("--kills", "16", "--workers", "1", "--settle", "10", "--some", "--plant", plant)
    assert done.returncode == 1, done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith(FINDS[plant]))
    assert int(line.rpartition(" ")[2]) > 0, done.stdout
