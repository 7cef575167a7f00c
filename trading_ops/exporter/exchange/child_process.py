"""Starts the child process when needed, and kills it when it does not answer."""

import asyncio
import contextlib
import sys

import msgspec

from trading_ops.errors import ClientError
from trading_ops.exporter.exchange.messages import LONGEST_LINE, ExchangeAnswer, Question, Setup

MODULE = "trading_ops.exporter.exchange.child"


class ChildProcess:
    """One child process at a time; it is started with the first request."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._setup: Setup | None = None

    @property
    def pid(self) -> int | None:
        """Return the PID of the running child, or None."""
        return self._process.pid if self._process else None

    async def ask(self, setup: Setup, question: Question) -> ExchangeAnswer:
        """Send a request and return the answer; a cancellation kills the child.

        Args:
            setup: the venue; a changed one starts a new child.
            question: the request.

        Raises:
            ClientError: the child ended, or its answer is invalid.
        """
        try:
            process = await self._running(setup)
            return await _exchanged(process, question)
        except (
            BaseException
        ):  # the answer to a cancelled request must not be taken for the next one
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


async def _exchanged(process: asyncio.subprocess.Process, question: Question) -> ExchangeAnswer:
    if process.stdin is None or process.stdout is None:
        raise ClientError("the child process has no pipes")
    try:
        _write(process, question)
        await process.stdin.drain()
        line = await process.stdout.readline()
        return msgspec.json.decode(line, type=ExchangeAnswer)
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise ClientError(
            "the child process that runs ccxt ended, or its answer is invalid"
        ) from error
