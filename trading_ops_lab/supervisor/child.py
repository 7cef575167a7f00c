"""Starts one child process, and ensures that it ends."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
from pathlib import Path
from typing import BinaryIO

from trading_ops import clock
from trading_ops.agent.incarnation import incarnation
from trading_ops.errors import SetupError
from trading_ops.logs.rotation import move_aside
from trading_ops_lab.supervisor.layout import unwritable
from trading_ops_lab.supervisor.process import Process

ROTATE_BYTES = 10 * 1024 * 1024
"""A log larger than this is moved aside when its process starts."""

TAIL_LINES = 8
TAIL_BYTES = 16 * 1024


class AdoptedProcess:
    """A process that an earlier supervisor started. Its exit code is unknown."""

    def __init__(self, life: str) -> None:
        """Use a running incarnation.

        Raises:
            SetupError: it does not run.
        """
        self.pid = int(life.partition(":")[0])
        self._ended = asyncio.Event()
        try:
            self._descriptor = os.pidfd_open(self.pid)
        except OSError as error:
            raise SetupError(f"process {self.pid} has ended") from error
        with contextlib.suppress(SetupError):
            # Checked after opening: from here on the descriptor belongs to this incarnation.
            if incarnation(self.pid) == life:
                asyncio.get_running_loop().add_reader(self._descriptor, self._end)
                return
        os.close(self._descriptor)
        raise SetupError(f"process {self.pid} has ended")

    async def wait(self) -> None:
        """Wait for its end."""
        await self._ended.wait()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if not self._ended.is_set():
            signal.pidfd_send_signal(self._descriptor, number)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._ended.set()


class Child:
    """A running process. Created by `start` and `adopt`."""

    def __init__(
        self,
        process: asyncio.subprocess.Process | AdoptedProcess,
        name: str,
        log_begins: int = 0,
    ) -> None:
        """Set a running process, its incarnation, and the offset at which its output starts.

        The log is shared by all incarnations: earlier output is from previous ones.
        """
        self._process = process
        self._swept = False
        self.pid = process.pid
        self.incarnation = name
        self.log_begins = log_begins
        self.started_at = clock.timestamp()

    async def wait(self) -> int | None:
        """Return its exit code if it has ended; negative: the signal that killed it.

        None: it was adopted, and only its parent gets the exit code.

        Its orphaned children are killed too, before the next incarnation starts.
        """
        code = await self._process.wait()
        if not self._swept:
            self._swept = True  # once: later its pid may be reused
            self.kill()
        return code

    async def stop(self, seconds: float) -> int | None:
        """Send SIGTERM; after the timeout kill it with all its descendants."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                return await self.wait()
        except TimeoutError:
            self.kill()
            return await self.wait()

    def kill(self) -> None:
        """Kill it and its descendants at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


async def start(plan: Process, *, folder: Path, log: Path, mark: str = "") -> Child:
    """Start a process that survives the supervisor: the next supervisor adopts it.

    It gets its own session, so that Ctrl-C reaches only the supervisor.

    Args:
        plan: what to start.
        folder: its working directory.
        log: file to which its output is appended.
        mark: the variable by which a later supervisor recognizes it, as NAME=value; empty: none.

    Raises:
        SetupError: its log cannot be written, or the program cannot be started.
    """
    program = plan.argv[0]
    if shutil.which(program) is None:  # `env` would report it only in the log
        raise SetupError(f"{program} cannot be started: executable not found")
    variables = (*plan.environment, *((mark,) if mark else ()))
    with _appending(log) as output:
        log_begins = output.seek(0, os.SEEK_END)
        try:
            process = await asyncio.create_subprocess_exec(
                # `env` becomes the process: same pid, no shell.
                *(("env", *variables) if variables else ()),
                *plan.argv,
                cwd=folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as error:
            raise SetupError(f"{program} cannot be started: {error.strerror or error}") from error
    try:
        name = incarnation(process.pid)
    except SetupError:  # it ended at once and was reaped elsewhere
        name = f"{process.pid}:0"
    return Child(process, name, log_begins)


def adopt(life: str, log: Path) -> Child:
    """Adopt a process that an earlier supervisor started.

    Raises:
        SetupError: it has ended.
    """
    return Child(AdoptedProcess(life), life, log.stat().st_size if log.exists() else 0)


def _appending(log: Path) -> BinaryIO:
    """Open a log; its folder is recreated if it was removed."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        rotate(log)
        return log.open("ab")
    except OSError as error:
        raise unwritable(log.parent, error) from error


def rotate(log: Path) -> None:
    """Move a large log aside."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > ROTATE_BYTES:
            move_aside(log, clock.timestamp())


def last_error(log: Path, begin: int = 0) -> str | None:
    """Return the error of the last structured line that has one."""
    for line in reversed(last_lines(log, begin)):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(error := entry.get("error"), str) and error:
            return " ".join(error.split())  # a driver's message may have several lines
    return None


def tail(log: Path, begin: int = 0) -> str:
    """Return the last lines of a log after an offset, or a note that there are none."""
    lines = last_lines(log, begin)[-TAIL_LINES:]
    return "\n".join(f"  {line}" for line in lines) or "  (the log is empty)"


def last_lines(log: Path, begin: int = 0) -> list[str]:
    """Return the end of a log after an offset; empty if it cannot be read."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            # Shorter than before: the process has started a new file.
            file.seek(max(begin if begin <= size else 0, size - TAIL_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
