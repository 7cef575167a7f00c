"""The stack as a user meets it: doctor, status, boards, processes that die, and the end."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.stack import Stack
from tests.waiting import eventually
from trading_ops.cli.local_stack import holder

pytestmark = pytest.mark.slow

RESTARTED = ["venue", "exporter", "reconciler", "alertmanager", "prometheus", "mail"]


def test_doctor_finds_everything_in_order(stack: Stack) -> None:
    """Tools, secrets, configurations, every connection, and a test alert to on-call and back."""
    code, report = stack.json("doctor")
    assert code == 0, [check for check in report["checks"] if not check["ok"]]
    names = [check["name"] for check in report["checks"]]
    assert "test alert → the on-call mailbox" in names


def test_doctor_names_what_is_wrong(stack: Stack) -> None:
    """A token that others can read is found, with the command that fixes it."""
    token = stack.settings.secrets / "operator_token"
    token.chmod(0o644)
    try:
        code, report = stack.json("doctor", "--no-test-alert")
    finally:
        token.chmod(0o600)
    wrong = [check for check in report["checks"] if not check["ok"]]
    assert code == 1
    assert [check["name"] for check in wrong] == ["secrets"]
    assert f"chmod go= {token}" in wrong[0]["detail"]


def test_status_has_every_process_ready(stack: Stack) -> None:
    """One row for each process, all ready."""
    code, status = stack.json("status")
    assert code == 0
    assert {process["state"] for process in status["processes"]} == {"ready"}
    assert status["automation"].startswith("automation is running")


def test_a_pause_is_seen_wherever_one_looks(stack: Stack) -> None:
    """status, doctor and a refused drill name its owner and reason, also with a broken registry."""
    assert stack.run("automation", "pause", "--reason", "upgrade", "--owner", "ada").returncode == 0
    targets = stack.settings.targets_file
    text = targets.read_text()
    try:
        assert "PAUSED by ada" in stack.run("automation", "show").stdout
        assert "PAUSED by ada" in stack.run("status").stdout
        drill = stack.run("drill", "TradingBotDown", within=30)
        assert "automation is paused by ada (token local): upgrade" in drill.stderr
        code, report = stack.json("doctor", "--no-test-alert")
        wrong = [check["name"] for check in report["checks"] if not check["ok"]]
        assert (code, wrong) == (1, ["automation"])
        targets.write_text("version: [")
        assert "reconciler" in stack.run("status").stdout
    finally:
        targets.write_text(text)
        assert stack.run("automation", "resume").returncode == 0


def test_a_halt_and_a_window_are_seen_wherever_one_looks(stack: Stack) -> None:
    """`status` shows on-call that a bot is held, by whom and why."""
    asked = ("--reason", "odd fills", "--owner", "ada")
    try:
        assert stack.run("halt", "alpha", *asked).returncode == 0
        assert stack.run("maintenance", "begin", "alpha", "--for", "1h", *asked).returncode == 0
        for command in (("status",), ("automation", "show")):
            output = stack.run(*command).stdout
            assert "alpha is HALTED by ada (token local) since" in output
            assert "MAINTENANCE of alpha by ada (token local) until" in output
        wrong = stack.run("resume", "alpha", "--hold", "none", "--reason", "slip")
        assert wrong.returncode == 1
        assert "alpha has no hold none" in wrong.stderr
    finally:
        stack.run("maintenance", "end", "1")
        assert stack.run("resume", "alpha", "--reason", "explained").returncode == 0
    assert "HALTED" not in stack.run("status").stdout


def test_nothing_listens_beyond_loopback(stack: Stack) -> None:
    """Every socket of every process of ours is on a loopback address."""
    listening = []
    for pid in stack.pids():
        for connection in psutil.Process(pid).net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                listening.append(connection.laddr.ip)
    assert len(listening) >= len(stack.processes())
    assert set(listening) == {"127.0.0.1"}


@pytest.mark.parametrize("unit", RESTARTED)
async def test_a_killed_process_is_restarted(stack: Stack, unit: str) -> None:
    """kill -9 of anything but the bot: the supervisor has it ready again."""
    before = stack.processes()[unit]
    os.kill(before["pid"], signal.SIGKILL)

    def is_back() -> bool:
        now = stack.processes()[unit]
        return bool(now["state"] == "ready" and now["pid"] != before["pid"])

    await eventually(is_back, within=30)
    assert stack.processes()[unit]["restarts"] == before["restarts"] + 1


@pytest.fixture
def second(tmp_path: Path) -> Stack:
    """Another stack, in a folder of its own, not yet started."""
    return Stack(tmp_path)


async def test_ctrl_c_leaves_no_process_behind(second: Stack) -> None:
    """In the foreground: SIGINT drains and stops all; then kill -9 of everything, and up again."""
    foreground = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "trading_ops.cli.main",
        "up",
        env=second.whole_environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    await eventually(lambda: _all_ready(second), within=60)
    again = second.run("up", "--detach")
    assert again.returncode != 0
    assert "Traceback" not in again.stderr
    assert str(foreground.pid) in again.stderr
    foreground.send_signal(signal.SIGINT)
    output, errors = await asyncio.wait_for(foreground.communicate(), 60)
    assert foreground.returncode == 0, errors
    assert b"Traceback" not in output + errors
    assert second.pids() == set()

    # Everything dies at once, as in a power cut; the next `up` just works.
    assert second.run("up", "--detach").returncode == 0
    supervisor = holder(second.settings.var)
    assert supervisor
    os.kill(supervisor, signal.SIGKILL)  # first, so that it restarts nothing
    for pid in second.pids() - {supervisor}:
        os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not second.pids(), within=10)
    assert second.run("status").returncode == 3
    done = second.run("up", "--detach")
    assert done.returncode == 0, done.stderr
    assert second.run("down").returncode == 0
    assert second.pids() == set()


def _all_ready(stack: Stack) -> bool:
    done = stack.run("status")
    return done.returncode == 0 and "starting" not in done.stdout
