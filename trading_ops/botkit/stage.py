"""A component that handles requests of other tasks, one at a time, in its own task."""

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

Request = TypeVar("Request")
Response = TypeVar("Response")


@dataclass(frozen=True)
class _Queued(Generic[Request, Response]):
    request: Request
    future: asyncio.Future[Response]
    queued_at: float
    ids: Mapping[str, Any]


class Stage(Component, Generic[Request, Response]):
    """One step of a trading pass, with a queue of requests.

    Example:
        class Signals(Stage[Quotes, Targets]):
            async def work(self, request: Quotes) -> Targets:
                return compute(request)

        targets = await signals.ask(quotes, within=0.5)
    """

    def __init__(self, name: str, metrics: BotMetrics, **breaker: Any) -> None:
        """Start with an empty queue.

        Args:
            name: the component's name in metrics and commands.
            metrics: of the bot.
            breaker: `threshold` and `cool_off_seconds` of the `Component`.
        """
        super().__init__(name, metrics, **breaker)
        self._inbox: asyncio.Queue[_Queued[Request, Response]] = asyncio.Queue()
        metrics.watch_queue(name, self._inbox.qsize)
        self._busy = False

    @property
    def has_work(self) -> bool:
        """Return whether a request is queued or in progress. Thread-safe."""
        return self._busy or not self._inbox.empty()

    @property
    def waiting(self) -> int:
        """Return how many requests are queued. Thread-safe."""
        return self._inbox.qsize()

    def drop_abandoned(self) -> int:
        """Drop queued requests whose caller no longer waits; return how many were dropped.

        They would be skipped anyway when they reach the head of the queue. The order of the other
        requests does not change.
        """
        waiting = [self._inbox.get_nowait() for _ in range(self._inbox.qsize())]
        wanted = [request for request in waiting if not request.future.done()]
        for request in wanted:
            self._inbox.put_nowait(request)
        dropped = len(waiting) - len(wanted)
        self.metrics.queue_dropped(self.name, dropped)
        return dropped

    @abstractmethod
    async def work(self, request: Request) -> Response:
        """Handle one request.

        Raises:
            Unavailable: a dependency is down; this does not count against the stage's breaker.
        """

    async def ask(self, request: Request, *, within: float) -> Response:
        """Queue a request and wait for its response.

        Args:
            request: passed to `work` in the stage's own task.
            within: seconds to wait; a timeout counts as a failure of the stage. A request that is
                already in progress is not cancelled.

        Raises:
            Unavailable: the breaker is open, `work` failed, or there was no response in time.
        """
        if not self.breaker.allow():
            raise Unavailable(f"{self.name}: the breaker is {self.breaker.state.name.lower()}")
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait(_Queued(request, future, clock.monotonic(), logs.ids()))
        try:
            async with asyncio.timeout(within):
                return await future
        except TimeoutError as error:
            detail = f"no answer within {within:g} s"
            self.fail(detail)
            self._update_health()
            raise Unavailable(f"{self.name}: {detail}") from error

    async def run(self) -> None:
        """Handle requests until cancelled."""
        self._update_health()
        while True:
            queued = await self._inbox.get()
            self.metrics.queue_wait(self.name, clock.monotonic() - queued.queued_at)
            if not queued.future.done():
                self._busy = True
                try:
                    # Log lines of this request carry the caller's ids.
                    with logs.bound(**queued.ids):
                        await self._handle(queued.request, queued.future)
                finally:
                    self._busy = False
                self._update_health()

    async def close(self) -> None:
        """Close the breaker, so a restarted stage starts without earlier failures."""
        await super().close()
        self.breaker.succeed()

    async def _handle(self, request: Request, future: asyncio.Future[Response]) -> None:
        try:
            response = await self.work(request)
        except Unavailable as error:
            # The dependency failed, so this trial is no evidence about the stage.
            self.breaker.reset()
            _reject(future, error)
        except Exception as error:  # no request may end the stage's task
            log.exception("work_failed", component=self.name)
            self.fail(f"{type(error).__name__}: {error}")
            _reject(future, Unavailable(f"{self.name}: {self.detail}"))
        except asyncio.CancelledError:
            _reject(future, Unavailable(f"{self.name}: it was restarted"))
            raise
        else:
            self.succeed()
            if not future.done():
                future.set_result(response)

    def _update_health(self) -> None:
        self.mark(up=self.breaker.closed, detail="working" if self.breaker.closed else self.detail)


def _reject(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


class HasSupervisor(Protocol):
    """The bot, as far as `queue_commands` needs it."""

    supervisor: Supervisor


def queue_commands(bot: HasSupervisor) -> dict[str, Command]:
    """Return the command `clear_queue`, which drops abandoned requests of all stages."""

    async def clear_queue(_params: Params) -> str:
        stages = [
            component
            for component in bot.supervisor.components.values()
            if isinstance(component, Stage)
        ]
        dropped = {stage.name: stage.drop_abandoned() for stage in stages}
        left = sum(stage.waiting for stage in stages)
        if not any(dropped.values()):
            raise CommandFailed(f"no request is abandoned; {left} requests are queued")
        counts = ", ".join(f"{count} of {name}" for name, count in dropped.items() if count)
        return f"abandoned requests were dropped: {counts}; {left} requests are queued"

    return {"clear_queue": Command(run=clear_queue)}
