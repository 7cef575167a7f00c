"""Delivery through Apprise, in a child process.

Apprise takes 45 MB and its calls block, so it runs outside of the reconciler: the child is started
for the first delivery, handles several at once, and exits when it is idle. A child that does not
answer in time is killed, and its pending messages are delivered again with the same ids.
"""

import asyncio
import contextlib
import sys
import uuid
from dataclasses import dataclass, field

import msgspec

from trading_ops import logs
from trading_ops.notify.channels import Channel
from trading_ops.notify.rendering import Rendered

log = logs.get(__name__)

ANSWER_SECONDS = 60.0
"""Timeout of one delivery; Apprise's own timeouts are shorter, one for each step."""

IDLE_SECONDS = 30.0


class DeliveryRequest(msgspec.Struct, kw_only=True):
    """One delivery: a line sent to the child."""

    ticket: str
    url: str
    message_id: str
    subject: str
    text: str
    html: str


class DeliveryResult(msgspec.Struct, kw_only=True):
    """The result: a line from the child."""

    ticket: str
    error: str
    """Empty: delivered."""


@dataclass(kw_only=True)
class _Child:
    process: asyncio.subprocess.Process
    reading: asyncio.Task[None] | None = None
    waiting: dict[str, asyncio.Future[str]] = field(default_factory=dict)


@dataclass(kw_only=True)
class Courier:
    """Delivers messages; `close` stops the child."""

    answer_seconds: float = ANSWER_SECONDS
    idle_seconds: float = IDLE_SECONDS
    _child: _Child | None = None
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _ending: asyncio.TimerHandle | None = None

    async def deliver(self, channel: Channel, rendered: Rendered, *, message_id: str) -> str:
        """Deliver one message; return why that failed, empty if it succeeded.

        Args:
            channel: the destination.
            rendered: the content.
            message_id: the mail's id, the same for every attempt.
        """
        job = DeliveryRequest(
            ticket=str(uuid.uuid4()),
            url=channel.url,
            message_id=message_id,
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
        )
        try:
            child = await self._running()
        except OSError as error:
            return f"the delivery process cannot be started: {error.strerror}"
        answer = child.waiting[job.ticket] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self.answer_seconds):
                await _send(child, job)
                return channel.redact(await answer)
        except TimeoutError:
            _kill(child)
            return f"no answer within {self.answer_seconds:g} s"
        except (OSError, EOFError):
            return "the delivery process ended"
        finally:
            child.waiting.pop(job.ticket, None)
            self._end_when_idle(child)

    async def close(self) -> None:
        """Stop the child."""
        if self._ending is not None:
            self._ending.cancel()
        child, self._child = self._child, None
        if child is not None:
            _kill(child)
            if child.reading is not None:
                await child.reading

    async def _running(self) -> _Child:
        async with self._starting:
            if self._ending is not None:
                self._ending.cancel()
                self._ending = None
            if self._child is None or self._child.process.returncode is not None:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "trading_ops.notify.courier_process"),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                )
                self._child = _Child(process=process)
                self._child.reading = asyncio.create_task(_read(self._child))
            return self._child

    def _end_when_idle(self, child: _Child) -> None:
        if child is self._child and not child.waiting:
            if self._ending is not None:
                self._ending.cancel()
            loop = asyncio.get_running_loop()
            self._ending = loop.call_later(self.idle_seconds, self._end, child)

    def _end(self, child: _Child) -> None:
        if child is self._child and not child.waiting:
            self._child = None
            _kill(child)


async def _send(child: _Child, job: DeliveryRequest) -> None:
    stdin = child.process.stdin
    assert stdin is not None  # noqa: S101 - it was started with one
    stdin.write(msgspec.json.encode(job) + b"\n")
    await stdin.drain()


async def _read(child: _Child) -> None:
    stdout = child.process.stdout
    assert stdout is not None  # noqa: S101 - it was started with one
    try:
        while line := await stdout.readline():
            answer = msgspec.json.decode(line, type=DeliveryResult)
            waiting = child.waiting.get(answer.ticket)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer.error)
    except (msgspec.DecodeError, ValueError) as error:
        log.error("courier_unreadable", error=str(error))  # noqa: TRY400 - it is restarted
        _kill(child)
    await child.process.wait()
    for waiting in child.waiting.values():
        if not waiting.done():
            waiting.set_exception(EOFError())


def _kill(child: _Child) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.process.kill()
