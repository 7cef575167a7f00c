"""The service manager `command`, on real commands."""

import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from trading_ops.errors import SetupError
from trading_ops.services.command import Commands
from trading_ops.services.manager import ManagerUnavailable

WITHIN = timedelta(seconds=60)


def commands(**verbs: str) -> Commands:
    return Commands({"bot": {verb: ["/bin/sh", "-c", text] for verb, text in verbs.items()}})


async def test_the_first_line_of_status_is_the_incarnation() -> None:
    status = await commands(status="echo 4711:99; echo more", restart="").status("bot")
    assert (status.running, status.incarnation) == (True, "4711:99")


async def test_exit_status_3_says_that_it_does_not_run() -> None:
    status = await commands(status="exit 3", restart="").status("bot")
    assert (status.running, status.incarnation) == (False, None)


@pytest.mark.parametrize("text", ["exit 1", "true", "echo"])
async def test_any_other_status_is_not_known(text: str) -> None:
    """A status command that fails or prints no name must not look like a stopped bot."""
    with pytest.raises(ManagerUnavailable, match="exit"):
        await commands(status=text, restart="").status("bot")


async def test_a_failed_order_reports_the_last_line() -> None:
    with pytest.raises(SetupError, match="exited with 7: no such venue"):
        await commands(restart="echo first; echo no such venue; exit 7").restart("bot", WITHIN)


async def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    """After its time all of its process group is gone: nothing acts later."""
    late = tmp_path / "late"
    hanging = commands(restart=f"(sleep 2; touch {late}) & sleep 1000")
    with pytest.raises(SetupError, match="took over"):
        await hanging.restart("bot", timedelta(seconds=0.2))
    done = f"import time; time.sleep(2.5); print({str(late)!r})"
    status = await Commands({"bot": {"status": [sys.executable, "-c", done]}}).status("bot")
    assert status.running
    assert not late.exists()


async def test_what_it_leaves_running_does_not_hold_the_order_up(tmp_path: Path) -> None:
    """A bot that was started in the background may keep the command's output open."""
    pid = tmp_path / "pid"
    await commands(restart=f"sleep 1000 & echo $! >{pid}").restart("bot", WITHIN)
    os.kill(int(pid.read_text()), signal.SIGKILL)  # fails unless it still runs


async def test_a_missing_program_is_named() -> None:
    missing = Commands({"bot": {"restart": ["/nowhere/restart"]}})
    with pytest.raises(SetupError, match="restart command of bot cannot be run"):
        await missing.restart("bot", WITHIN)


async def test_a_stop_needs_a_command() -> None:
    with pytest.raises(SetupError, match="no stop command"):
        await commands(status="exit 3", restart="true").stop("bot", WITHIN)
