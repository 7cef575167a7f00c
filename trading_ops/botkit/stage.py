"""A component that works on request, one request after the other, in its own task."""

import asyncio
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from trading_ops import clock, logs
from trading_ops.agent import Command, CommandFailed, Params
from trading_ops.botkit.component import Component, Unavailable
from trading_ops.botkit.supervisor import Supervisor
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _Request(Generic[Asked, Answer]):
    asked: Asked
    future: asyncio.Future[Answer]
    asked_at: float
    ids: Mapping[str, Any]


class Stage(Component, Generic[Asked, Answer]):
    """One step of a trading pass."""

    def __init__(self, name: str, metrics: BotMetrics, **breaker: Any) -> None:
        """Begin with nothing asked; `breaker` goes to the component."""
        super().__init__(name, metrics, **breaker)
        self._inbox: asyncio.Queue[_Request[Asked, Answer]] = asyncio.Queue()
        metrics.watch_queue(name, self._inbox.qsize)
        self._busy = False

    @property
    def has_work(self) -> bool:
        """Say whether something is asked of it; a plain read, so any thread may ask."""
        return self._busy or not self._inbox.empty()

    @property
    def waiting(self) -> int:
        """Return how many requests wait; a plain read."""
        return self._inbox.qsize()

    def drop_abandoned(self) -> int:
        """Drop the requests that nobody waits for any more; return how many there were.

        They would be passed over when their turn comes. What somebody waits for keeps its place.
        """
        waiting = [self._inbox.get_nowait() for _ in range(self._inbox.qsize())]
        wanted = [request for request in waiting if not request.future.done()]
        for request in wanted:
            self._inbox.put_nowait(request)
        dropped = len(waiting) - len(wanted)
        self.metrics.queue_dropped(self.name, dropped)
        return dropped

    @abstractmethod
    async def work(self, asked: Asked) -> Answer:
        """Do the step.

        Raises:
            Unavailable: what it depends on is down; it is not this stage's failure.
        """

    async def ask(self, asked: Asked, *, within: float) -> Answer:
        """Have the step done in the stage's own task, within so many seconds.

        Raises:
            Unavailable: it was not done.
        """
        if not self.breaker.allow():
            raise Unavailable(f"{self.name}: the breaker is {self.breaker.state.name.lower()}")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait(_Request(asked, future, clock.monotonic(), logs.ids()))
        try:
            async with asyncio.timeout(within):
                return await future
        except TimeoutError as error:
            detail = f"no answer within {within:g} s"
            self.fail(detail)
            self._show()
            raise Unavailable(f"{self.name}: {detail}") from error

    async def run(self) -> None:
        """Work on what is asked."""
        self._show()
        while True:
            request = await self._inbox.get()
            self.metrics.queue_wait(self.name, clock.monotonic() - request.asked_at)
            if not request.future.done():
                self._busy = True
                try:
                    # What is logged of it carries the ids of whoever asked.
                    with logs.bound(**request.ids):
                        await self._serve(request.asked, request.future)
                finally:
                    self._busy = False
                self._show()

    async def close(self) -> None:
        """Forget earlier failures: what is restarted begins anew."""
        await super().close()
        self.breaker.succeed()

    async def _serve(self, asked: Asked, future: asyncio.Future[Answer]) -> None:
        try:
            answer = await self.work(asked)
        except Unavailable as error:
            # A trial that could not be made says nothing about this stage.
            self.breaker.reset()
            _refuse(future, error)
        except Exception as error:  # a stage outlives what it is given
            log.exception("work_failed", component=self.name)
            self.fail(f"{type(error).__name__}: {error}")
            _refuse(future, Unavailable(f"{self.name}: {self.detail}"))
        except asyncio.CancelledError:
            _refuse(future, Unavailable(f"{self.name}: it was restarted"))
            raise
        else:
            self.succeed()
            if not future.done():
                future.set_result(answer)

    def _show(self) -> None:
        self.mark(up=self.breaker.closed, detail="working" if self.breaker.closed else self.detail)


def _refuse(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


class Parts(Protocol):
    """What the command is for."""

    supervisor: Supervisor


def queue_commands(parts: Parts) -> dict[str, Command]:
    """Return the command by its name."""

    async def clear_queue(_params: Params) -> str:
        stages = [one for one in parts.supervisor.components.values() if isinstance(one, Stage)]
        dropped = {stage.name: stage.drop_abandoned() for stage in stages}
        left = sum(stage.waiting for stage in stages)
        if not any(dropped.values()):
            raise CommandFailed(f"nothing waits in vain: {left} requests wait, and are waited for")
        told = ", ".join(f"{count} of {name}" for name, count in dropped.items() if count)
        return f"requests that nobody waited for any more were dropped: {told}; {left} still wait"

    return {"clear_queue": Command(run=clear_queue)}
