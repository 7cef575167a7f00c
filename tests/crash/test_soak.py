"""A slice of `make soak`, and the proof that it can fail."""

import os
import subprocess
import sys

import pytest

from tests.crash.lives import ROOT


def soak(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the soak with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "tests.crash.bot_soak", *arguments],
        cwd=ROOT,
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_short_soak_ends_well() -> None:
    """No drift, no order twice, no hold; what grows within a minute is the warm-up."""
    done = soak("--minutes", "0.7", "--seed", "3")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        ("leak", "memory of the bot (USS) grew"),
        ("leak-files", "open files grew"),
        ("leak-tasks", "tasks grew"),
        ("count-twice", "USD: ours"),
        ("count-twice", "held by recovery-"),
    ],
)
def test_a_planted_defect_is_found(plant: str, told: str) -> None:
    """A leak by its slope, a drift by the venue's own balances and by the hold it leads to."""
    done = soak("--minutes", "1", "--seed", "3", "--plant", plant)
    assert done.returncode == 1, done.stdout + done.stderr
    assert told in done.stdout
