"""Disaster recovery: `var` is deleted under load, and everything comes back from the repository."""

import contextlib
import shutil
import sqlite3
from pathlib import Path

import psutil
import pytest

from tests.stack import Stack, running_stack
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.agent.state import Holds, TradingState

pytestmark = pytest.mark.long

RTO_SECONDS = 300


def orders(var: Path) -> int:
    """Return how many orders the bot has recorded."""
    with contextlib.closing(sqlite3.connect(var / "bot-alpha" / "bot.db")) as records:
        return int(records.execute("SELECT count(*) FROM orders").fetchone()[0])


def lose(var: Path) -> None:
    """Delete everything but the state of the paper venue: it stands for an exchange."""
    for path in var.iterdir():
        if path.name != "venue":
            shutil.rmtree(path, ignore_errors=True)


def end_all(stack: Stack) -> None:
    """Kill every process of the stack, as the end of its machine does."""
    processes = [psutil.Process(pid) for pid in stack.pids()]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=60)


async def test_var_is_deleted_under_load(tmp_path: Path) -> None:
    """Docs: docs/disaster-recovery.md. The secrets are kept elsewhere, as it says."""
    with running_stack(tmp_path) as stack:
        var = stack.settings.var

        async def trades() -> bool:
            return orders(var) >= 3

        await eventually(trades, within=120)
        shutil.copytree(stack.settings.secrets, tmp_path / "secrets")
        code, record = stack.json("backup", "create")
        assert code == 0
        before = orders(var)
        lose(var)
        end_all(stack)
        lose(var)

        began = clock.monotonic()
        shutil.copytree(tmp_path / "secrets", stack.settings.secrets)
        code, restored = stack.json("restore", "latest", "--in-place")
        assert code == 0
        assert restored["id"] == record["id"]
        assert 3 <= orders(var) <= before
        verified = stack.run("audit", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        stack.up()
        seconds = clock.monotonic() - began
        assert seconds < RTO_SECONDS
        assert Holds(var / "bot-alpha" / "holds.json").state is TradingState.REDUCING
        assert stack.run("resume", "alpha", "--reason", "reconciled").returncode == 0
        assert stack.run("audit", "verify").returncode == 0
        (tmp_path / "rto").write_text(f"{seconds:.1f}")


def test_the_page_says_what_the_commands_are() -> None:
    """The steps of the page, in the order in which the test above takes them."""
    page = (Path(__file__).parents[2] / "docs" / "disaster-recovery.md").read_text("utf-8")
    steps = ("restore latest --in-place", "audit verify", "make up", "trading-ops resume")
    places = [page.index(step) for step in steps]
    assert places == sorted(places)
