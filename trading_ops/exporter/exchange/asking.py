"""The exporter's end of a child process: starts it when needed, and kills it when in doubt."""

import asyncio
import contextlib
import sys

import msgspec

from trading_ops.errors import ClientError
from trading_ops.exporter.exchange.messages import LONGEST_LINE, Answer, Question, Setup

MODULE = "trading_ops.exporter.exchange.child"


class Asking:
    """One child process at a time; it is started with the first question."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._setup: Setup | None = None

    @property
    def pid(self) -> int | None:
        """Of the child that runs now."""
        return self._process.pid if self._process else None

    async def ask(self, setup: Setup, question: Question) -> Answer:
        """Ask, and wait until the caller's timeout, at which the child is killed.

        Args:
            setup: the venue; a changed one starts a new child.
            question: to ask.

        Raises:
            ClientError: the child ended, or its answer is invalid.
        """
        try:
            process = await self._running(setup)
            return await _exchanged(process, question)
        except BaseException:  # a cancelled question's answer must not be taken for the next one's
            await self.close()
            raise

    async def close(self) -> None:
        """Stop the child, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _running(self, setup: Setup) -> asyncio.subprocess.Process:
        if self._process is not None and setup == self._setup:
            return self._process
        await self.close()
        self._setup = setup
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", MODULE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=LONGEST_LINE,
        )  # fmt: skip
        _write(self._process, setup)
        return self._process


def _write(process: asyncio.subprocess.Process, message: Setup | Question) -> None:
    if process.stdin is None:
        raise ClientError("the child process has no input")
    process.stdin.write(msgspec.json.encode(message) + b"\n")


async def _exchanged(process: asyncio.subprocess.Process, question: Question) -> Answer:
    if process.stdin is None or process.stdout is None:
        raise ClientError("the child process has no pipes")
    try:
        _write(process, question)
        await process.stdin.drain()
        line = await process.stdout.readline()
        return msgspec.json.decode(line, type=Answer)
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise ClientError("the child process that runs ccxt ended or talked nonsense") from error
