"""A slice of `make soak`, and the proof that it can fail."""

import os
import subprocess
import sys

import pytest

from tests.crash.fork_server import ROOT

pytestmark = pytest.mark.long


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
    ("plants", "expected"),
    [
        pytest.param(
            ("leak", "leak-files", "leak-tasks"),
            ("memory of the bot (anonymous) grew", "open files grew", "tasks grew"),
            id="leaks",
        ),
        pytest.param(("count-twice",), ("USD: ours",), id="drift"),
    ],
)
def test_planted_defects_are_found(plants: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """A leak by its slope, a drift by the venue's own balances."""
    chosen = [argument for plant in plants for argument in ("--plant", plant)]
    done = soak("--minutes", "0.7", "--seed", "3", *chosen)
    assert done.returncode == 1, done.stdout + done.stderr
    for sentence in expected:
        assert sentence in done.stdout
