"""Starts reconciler processes and reports how they end."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
STRACE = shutil.which("strace")


@dataclass
class ForkedProcess:
    """One started process."""

    pid: int
    ended: asyncio.Task[int]
    """Its exit code; negative: the signal that ended it."""

    def send(self, number: signal.Signals) -> None:
        """Send a signal; ignored if the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def end(self, number: signal.Signals = signal.SIGKILL, *, within: float = 15.0) -> int:
        """Signal it, wait for its end, and kill it when that takes too long."""
        self.send(number)
        done, _ = await asyncio.wait({self.ended}, timeout=within)
        if not done:
            self.send(signal.SIGKILL)
        return await self.ended


class Server:
    """One process that forks others, one after another."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def begin(self, options: dict[str, Any]) -> ForkedProcess:
        """Start a process; the previous one must have ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(options).encode() + b"\n")
        born = await self._line()
        return ForkedProcess(pid=born["pid"], ended=asyncio.create_task(self._status()))

    async def _status(self) -> int:
        return int((await self._line())["status"])

    async def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return line


@contextlib.asynccontextmanager
async def server(module: str = "tests.crash.reconciler") -> AsyncIterator[Server]:
    """Run a fork server for the reconciler, or for another module."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        cwd=ROOT,
        # Nothing of the caller's: a run must not be slowed down or measured.
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Server(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


@contextlib.asynccontextmanager
async def traced(pid: int, *rules: str) -> AsyncIterator[None]:
    """Have strace interfere with system calls of a process, until the context is left.

    Args:
        pid: a run that was begun with `traced`.
        rules: as strace's `-e inject=` takes them.
    """
    assert STRACE is not None
    calls = ",".join(rule.partition(":")[0] for rule in rules)
    process = await asyncio.create_subprocess_exec(
        STRACE,
        *("-f", "-qq", "-o", os.devnull, "-p", str(pid), "-e", f"trace={calls}"),
        *(f"--inject={rule}" for rule in rules),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        # It lets go of the process and ends. Not by `send_signal`, which would take away the exit
        # status that asyncio waits for.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGINT)
        await process.wait()
