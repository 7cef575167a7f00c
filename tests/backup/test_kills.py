"""A short sweep; `make test-backup` runs the long one."""

import subprocess
import sys
from pathlib import Path

from tests.backup.kills import OPERATIONS

ROOT = Path(__file__).parents[2]


def test_no_kill_leaves_a_repository_without_a_restorable_backup() -> None:
    """In a process of its own, which forks: this one may have threads."""
    command = [sys.executable, "-m", "tests.backup.kills", "--kills", "24"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "lost: 0" in done.stdout
    for operation in OPERATIONS:
        assert f"'{operation}'" in done.stdout  # it was killed at least once
