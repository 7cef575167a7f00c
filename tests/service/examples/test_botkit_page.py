"""Each block of docs/botkit.md runs alone, in an empty folder."""

import subprocess
import sys
from pathlib import Path

import pytest

import trading_ops.botkit
from tests.rules.configuration import ROOT

PAGE = (ROOT / "docs" / "botkit.md").read_text(encoding="utf-8")
BLOCKS = [part.partition("```")[0] for part in PAGE.split("```python\n")[1:]]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("botkit import")[1][:24])
def test_the_block_runs(block: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["env", f"PYTHONPATH={ROOT}", sys.executable, "-W", "error", "-c", block],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_the_page_names_public_parts() -> None:
    """Each name in the table's first column is exported, or is a module."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    names = [name.strip(" `") for row in rows for name in row.split("|")[1].split(",")]
    assert names
    for name in names:
        assert hasattr(trading_ops.botkit, name), name
