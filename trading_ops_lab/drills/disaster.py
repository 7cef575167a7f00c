"""The drill DisasterRecovery: `var` of a stack is deleted under load, and all its processes killed.

It runs on a stack of its own, in a temporary folder and on free ports: the one in use, if any, and
its backups are not touched. The steps are those of docs/disaster-recovery.md.
"""

import contextlib
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from trading_ops import clock
from trading_ops.agent.state import Holds, TradingState
from trading_ops.config.environment import other_environment
from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings
from trading_ops.errors import StackError
from trading_ops_lab.cli.up import fill_empty
from trading_ops_lab.drills.recorded_drills import RecordedDisaster, RecordedMark

NAME = "DisasterRecovery"
RTO_SECONDS = 300.0
"""The goal: from the loss until everything is ready."""

BOT = "alpha"
ORDERS = 3
"""Recorded before the loss."""

COMMAND_SECONDS = 240.0
TRADES_SECONDS = 180.0
PORT = re.compile(r"127\.0\.0\.1:\d+")
VENUE = "venue"
"""Folder of the paper venue: it represents the exchange, which is not lost."""

Say = Callable[[RecordedMark], None]


def run_disaster_drill(say: Say) -> RecordedDisaster:
    """Run the drill; `say` is called at each stage.

    Raises:
        StackError: a step failed; the message names it.
    """
    with tempfile.TemporaryDirectory(prefix="trading-ops-disaster-") as folder:
        root = Path(folder, "project")
        root.mkdir()
        stack = _Stack(root)
        try:
            return _run(stack, Path(folder), say)
        finally:
            stack.kill()


class _Stack:
    """A local stack in its own folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings: Settings = load_settings(root, environ={})
        fill_empty(self.settings)
        targets = self.settings.targets_file
        text = targets.read_text()
        ports = _free_ports(len(PORT.findall(text)))
        targets.write_text(PORT.sub(lambda _: f"127.0.0.1:{next(ports)}", text))

    def run(self, *arguments: str) -> None:
        """Run one of our commands.

        Raises:
            StackError: it failed.
        """
        command = f"trading-ops {' '.join(arguments)}"
        try:
            done = subprocess.run(
                [sys.executable, "-m", "trading_ops.cli.main", *arguments],
                cwd=self.root,
                env=other_environment(self.root),
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StackError(f"`{command}` took over {COMMAND_SECONDS:g} s") from error
        if done.returncode:
            last = (done.stderr or done.stdout).strip()[-500:]
            raise StackError(f"`{command}` exited with {done.returncode}: {last}")

    def orders(self) -> int:
        """Return how many orders the bot has recorded."""
        path = self.settings.var / f"bot-{BOT}" / "bot.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as records:
            return int(records.execute("SELECT count(*) FROM orders").fetchone()[0])

    def wait_for_orders(self, count: int) -> None:
        """Wait until the bot has recorded that many.

        Raises:
            StackError: it took too long.
        """
        deadline = clock.monotonic() + TRADES_SECONDS
        while True:
            with contextlib.suppress(sqlite3.OperationalError):  # not created yet
                if self.orders() >= count:
                    return
            if clock.monotonic() > deadline:
                raise StackError(f"the bot did not trade within {TRADES_SECONDS:g} s")
            time.sleep(0.5)

    def state(self) -> TradingState:
        """Return the trading state of the bot's holds on disk."""
        return Holds(self.settings.var / f"bot-{BOT}" / "holds.json").state

    def lose(self) -> None:
        """Delete `var`, except for the venue."""
        for path in self.settings.var.iterdir():
            if path.name != VENUE:
                shutil.rmtree(path, ignore_errors=True)

    def kill(self) -> None:
        """Kill every process of the stack, like the loss of its machine."""
        processes = [process for process in psutil.process_iter() if self._is_ours(process)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=30)

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            arguments = [*process.environ().values(), *process.cmdline()]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False
        return any(str(self.root) in argument for argument in arguments)


def _run(stack: _Stack, folder: Path, say: Say) -> RecordedDisaster:
    began = clock.monotonic()
    timeline: list[RecordedMark] = []

    def mark(stage: str, note: str) -> None:
        timeline.append(RecordedMark(stage, round(clock.monotonic() - began, 2), note))
        say(timeline[-1])

    stack.run("up", "--detach")
    stack.wait_for_orders(ORDERS)
    shutil.copytree(stack.settings.secrets, folder / "secrets")
    stack.run("backup", "create")
    before = stack.orders()
    # The second time for what was written before the last process died.
    stack.lose()
    stack.kill()
    stack.lose()

    at, began = clock.now(), clock.monotonic()
    mark("lost", f"var deleted and every process killed; the bot had recorded {before} orders")
    shutil.copytree(folder / "secrets", stack.settings.secrets)
    stack.run("restore", "latest", "--in-place")
    restored = stack.orders()
    mark("restored", f"{restored} of {before} orders, as of the backup")
    stack.run("audit", "verify")
    mark("verified", "the audit log is complete")
    stack.run("up", "--detach")
    if stack.state() is not TradingState.REDUCING:
        raise StackError(f"{BOT} is {stack.state()} after the restore, expected reduce-only")
    mark("ready", f"every process is healthy; {BOT} is reduce-only")
    seconds = timeline[-1].seconds
    stack.run("resume", BOT, "--reason", "reconciled after the restore")
    stack.wait_for_orders(stack.orders() + 1)
    mark("trading", f"{BOT} sent an order")
    stack.run("audit", "verify")
    stack.run("down")
    return RecordedDisaster(
        at=at,
        passed=ORDERS <= restored <= before and seconds <= RTO_SECONDS,
        limit_seconds=RTO_SECONDS,
        seconds=seconds,
        timeline=timeline,
    )


def _free_ports(count: int) -> Iterator[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for bound in sockets:
            bound.bind(("127.0.0.1", 0))
        ports = [int(bound.getsockname()[1]) for bound in sockets]
    yield from ports
