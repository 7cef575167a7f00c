"""The model as a source of signals: a child process, queried over its standard streams."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from trading_ops import logs
from trading_ops_lab.paper.bot.signals.source import (
    InvalidSignal,
    Market,
    Signal,
    SourceFailed,
    SourceGone,
)
from trading_ops_lab.paper.bot.trading.strategy import Target

log = logs.get(__name__)

MODEL = "model"
"""Its name in metrics."""

MODULE = "trading_ops_lab.paper.bot.signals.model_process"
Result = TypeVar("Result")

LONGEST_ANSWER = 16 * 1024
"""Bytes."""


class Answer(msgspec.Struct):
    """One line of the model; `validation` checks its values."""

    id: int
    symbol: str
    target: Target
    confidence: float
    horizon_seconds: float
    at: float


class ModelProcess:
    """Starts the process, queries it, and stops it."""

    name = MODEL

    def __init__(self, folder: Path, *, seed: int) -> None:
        """Set up the process.

        Args:
            folder: the bot's state folder, with the injected fault.
            seed: of the model's noise.
        """
        self._folder = folder
        self._seed = seed
        self._process: asyncio.subprocess.Process | None = None
        self._requests = 0

    @property
    def pid(self) -> int | None:
        """Return the process id, None while there is no process."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the process; it ends with this one.

        Raises:
            SourceFailed: it cannot be started.
        """
        await self.close()
        arguments = (str(self._folder), str(self._seed), str(os.getpid()))
        starting = asyncio.create_subprocess_exec(
            *(sys.executable, "-m", MODULE, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LONGEST_ANSWER,
        )
        try:
            await _uncancellable(self._take(starting))
        except OSError as error:
            raise SourceFailed(f"the model cannot be started: {error.strerror}") from error
        log.info("model_started", pid=self.pid)

    async def signal(self, market: Market) -> Signal:
        """Ask, and return the answer; late answers to earlier questions are discarded.

        Raises:
            InvalidSignal: the answer is not a signal.
            SourceGone: the process has ended.
        """
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise SourceGone("the model is not running")
        self._requests += 1
        number = self._requests
        question = {
            "id": number,
            "symbol": market.symbol,
            "prices": [str(price) for price in market.prices],
            "at": market.at,
        }
        try:
            process.stdin.write(msgspec.json.encode(question) + b"\n")
            await process.stdin.drain()
            while True:
                answer = _read(await process.stdout.readline())
                if answer.id >= number:
                    break
        except (ConnectionError, ValueError) as error:  # the latter: a line without an end
            raise SourceGone(f"the connection to the model failed: {error}") from error
        return Signal(
            id=f"{self.name}-{process.pid}-{answer.id}",
            source=self.name,
            symbol=answer.symbol,
            target=answer.target,
            at=answer.at,
            confidence=answer.confidence,
            horizon_seconds=answer.horizon_seconds,
        )

    async def close(self) -> None:
        """Kill the process: it has no state to save, and may ignore SIGTERM."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            with contextlib.suppress(ConnectionError, ValueError):
                await _uncancellable(process.communicate())  # waits, and closes the pipes

    async def _take(self, starting: Coroutine[Any, Any, asyncio.subprocess.Process]) -> None:
        self._process = await starting


async def _uncancellable(work: Coroutine[Any, Any, Result]) -> Result:
    """Finish short work even when cancelled: an interrupted start would leak a process."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    return task.result()


def _read(line: bytes) -> Answer:
    if not line:
        raise SourceGone("the model's process ended")
    try:
        return msgspec.json.decode(line, type=Answer)
    except msgspec.DecodeError as error:
        # JSON has no NaN, but Python's json module writes it.
        raise InvalidSignal(f"the answer is not a signal: {error}") from error
