"""Short sweeps; `make test-backup` runs the long ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.backup.kills import OPERATIONS

ROOT = Path(__file__).parents[2]


def run(module: str, *arguments: str) -> str:
    """Run one in a process of its own, which forks: this one may have threads."""
    command = [sys.executable, "-m", f"tests.backup.{module}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize(
    ("kills", "arguments"),
    [("24", ()), pytest.param("5", ("--postgresql",), marks=pytest.mark.slow)],
)
def test_no_kill_leaves_a_repository_without_a_restorable_backup(
    kills: str, arguments: tuple[str, ...]
) -> None:
    output = run("kills", "--kills", kills, *arguments)
    assert "lost: 0" in output
    for operation in OPERATIONS if arguments else OPERATIONS.keys() - {"base"}:
        assert f"'{operation}'" in output  # it was killed at least once


@pytest.mark.slow
def test_under_load_every_backup_has_all_that_was_committed() -> None:
    output = run("load", "--minutes", "0.1", "--every", "2", "--rate", "200", "--megabytes", "5")
    assert "3 restored and complete" in output
