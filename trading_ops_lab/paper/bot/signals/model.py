"""The model as a source: a process of the bot's own, asked over its input and output."""

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
"""What metrics call it."""

MODULE = "trading_ops_lab.paper.bot.signals.model_process"
Result = TypeVar("Result")

LONGEST_ANSWER = 16 * 1024
"""Bytes."""


class Answer(msgspec.Struct):
    """One line of the model; what it means is checked elsewhere."""

    id: int
    symbol: str
    target: Target
    confidence: float
    horizon_seconds: float
    at: float


class ModelProcess:
    """Starts the process, asks it, and ends it."""

    name = MODEL

    def __init__(self, folder: Path, *, seed: int) -> None:
        """Take the bot's state folder, where the fault switch is, and the model's seed."""
        self._folder = folder
        self._seed = seed
        self._process: asyncio.subprocess.Process | None = None
        self._asked = 0

    @property
    def pid(self) -> int | None:
        """Return the process's id while there is one."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the process; it dies with this one.

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
            await _to_the_end(self._take(starting))
        except OSError as error:
            raise SourceFailed(f"the model cannot be started: {error.strerror}") from error
        log.info("model_started", pid=self.pid)

    async def signal(self, market: Market) -> Signal:
        """Ask, and return the answer to this question; late ones to earlier questions are dropped.

        Raises:
            InvalidSignal: the answer is no signal.
            SourceGone: the process is dead.
        """
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise SourceGone("the model does not run")
        self._asked += 1
        asked = self._asked
        question = {
            "id": asked,
            "symbol": market.symbol,
            "prices": [str(price) for price in market.prices],
            "at": market.at,
        }
        try:
            process.stdin.write(msgspec.json.encode(question) + b"\n")
            await process.stdin.drain()
            while True:
                said = _read(await process.stdout.readline())
                if said.id >= asked:
                    break
        except (ConnectionError, ValueError) as error:  # the latter: a line without an end
            raise SourceGone(f"the model broke off: {error}") from error
        return Signal(
            id=f"{self.name}-{process.pid}-{said.id}",
            source=self.name,
            symbol=said.symbol,
            target=said.target,
            at=said.at,
            confidence=said.confidence,
            horizon_seconds=said.horizon_seconds,
        )

    async def close(self) -> None:
        """Kill the process: it has nothing to save, and may not listen to less."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            with contextlib.suppress(ConnectionError, ValueError):
                await _to_the_end(process.communicate())  # waits, and closes the pipes

    async def _take(self, starting: Coroutine[Any, Any, asyncio.subprocess.Process]) -> None:
        self._process = await starting


async def _to_the_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Do what takes some milliseconds even when it is cancelled: half of it is a lost process."""
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
        # JSON has no NaN: Python's writes one all the same.
        raise InvalidSignal(f"the answer is no signal: {error}") from error
