"""A slice of `make crash-bot`, and the proof that it can fail."""

import os
import subprocess
import sys

import pytest

from tests.crash.bot_defects import PLANTS
from tests.crash.fork_server import ROOT

pytestmark = pytest.mark.long

FAULTS = {"send-again": ("--fault", "lost_answer")}
"""A defect that only shows when the venue misbehaves in this way."""


def crash(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the sweep with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "tests.crash.bot_sweep", *arguments],
        cwd=ROOT,
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_bot_comes_back_whole() -> None:
    """Two dozen kills: balances and positions are the venue's, no order twice, no halt lost."""
    done = crash("--kills", "24", "--workers", "1", "--some", "--fail-fast")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("plant", sorted(PLANTS))
def test_a_broken_promise_is_found(plant: str) -> None:
    """The same sweep over a bot with a planted defect must fail."""
    more = FAULTS.get(plant, ())
    done = crash(
        *("--kills", "200", "--workers", "1", "--some", "--fail-fast", "--plant", plant), *more
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "wrong: 0" not in done.stdout
