"""Queries a source of signals in its own task, and restarts a failing source."""

import asyncio
from collections.abc import Mapping

from trading_ops import clock, logs
from trading_ops.botkit.circuit_breaker import CircuitBreaker
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.signals.settings import SignalSettings
from trading_ops_lab.paper.bot.signals.source import (
    InvalidSignal,
    Market,
    Signal,
    Source,
    SourceFailed,
    SourceGone,
)
from trading_ops_lab.paper.bot.signals.validation import fault_of

log = logs.get(__name__)

FIRST_BACKOFF_SECONDS = 1.0


class Asker:
    """Keeps the latest valid signal of each symbol, and restarts a failing source."""

    def __init__(self, source: Source, metrics: BotMetrics, settings: SignalSettings) -> None:
        """Set up; `run` starts the source."""
        self.source = source
        self.latest: dict[str, Signal] = {}
        """The last valid signal of each symbol, however old."""

        self.good_rounds = 0
        """Complete rounds in a row without an error."""

        self.problem = "it has not answered yet"
        """The last error; empty while there is none."""

        self._metrics = metrics
        self._settings = settings
        self._breaker = CircuitBreaker(
            threshold=settings.failures, cool_off_seconds=settings.max_backoff_seconds
        )
        self._starts = 0
        self._offered: tuple[Mapping[str, Market], asyncio.Event] | None = None
        self._work = asyncio.Event()
        self._is_free = False

    def offer(self, markets: Mapping[str, Market]) -> asyncio.Event:
        """Request signals for these markets; return an event that is set once they are answered.

        Never waits. While the source is busy only the newest request is kept, and the event is set
        at once: a slow model must not work through old requests.
        """
        answered = asyncio.Event()
        if not self._is_free:
            answered.set()
        if self._offered is not None:
            self._skip(self._offered[0])
        self._offered = (markets, answered)
        self._work.set()
        return answered

    async def run(self) -> None:
        """Answer requests until cancelled; then the source is closed."""
        try:
            await self._start()
            while True:
                self._is_free = self._offered is None
                await self._work.wait()
                self._work.clear()
                self._is_free = False
                if self._offered is None:
                    continue
                (markets, answered), self._offered = self._offered, None
                try:
                    await self._round(markets)
                finally:
                    answered.set()
        finally:
            await self.source.close()

    async def _round(self, markets: Mapping[str, Market]) -> None:
        """Request a signal for each market; the first error ends the round."""
        gone = False
        self._breaker.allow()  # records the trial after a restart
        for number, (symbol, market) in enumerate(markets.items()):
            try:
                self.latest[symbol] = await self._ask(market)
            except SourceFailed as error:
                gone = isinstance(error, SourceGone)
                self._fail(str(error))
                self._skip(dict(list(markets.items())[number + 1 :]))
                break
        else:
            self._succeed()
        if gone or not self._breaker.closed:
            await self._restart()

    async def _ask(self, market: Market) -> Signal:
        began = clock.monotonic()
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                signal = await self.source.signal(market)
            self._check(signal, market)
        except TimeoutError as error:
            self._record("timeout", began)
            raise SourceFailed(f"no answer within {self._settings.timeout_seconds:g} s") from error
        except InvalidSignal:
            self._record("invalid", began)
            raise
        except SourceFailed:
            self._record("failed", began)
            raise
        except Exception as error:  # a bug in a source must not end this task
            log.exception("source_crashed", source=self.source.name)
            self._record("failed", began)
            raise SourceFailed(f"{type(error).__name__}: {error}") from error
        self._record("ok", began, signal)
        return signal

    def _check(self, signal: Signal, market: Market) -> None:
        age = self._settings.maximum_age_seconds
        if fault := fault_of(signal, market, now=clock.timestamp(), maximum_age=age):
            raise InvalidSignal(fault)

    def _record(self, outcome: str, began: float, signal: Signal | None = None) -> None:
        self._metrics.signal(
            self.source.name,
            outcome=outcome,
            seconds=clock.monotonic() - began,
            at=signal.at if signal else None,
            trace_id=signal.id if signal else "",
        )

    async def _restart(self) -> None:
        """Restart the source, after a pause that doubles while restarts do not help."""
        await self.source.close()
        if self._starts == self._settings.max_restarts:
            await self._give_up()
        pause = min(
            FIRST_BACKOFF_SECONDS * 2 ** min(self._starts, 16),
            self._settings.max_backoff_seconds,
        )
        self._starts += 1
        log.warning(
            "source_restarting", source=self.source.name, problem=self.problem, seconds=pause
        )
        await asyncio.sleep(pause)
        await self._start()
        self._breaker.reset()

    async def _give_up(self) -> None:
        """Send no more requests, until cancelled.

        After so many restarts without effect, an operator must find the cause first.
        """
        self.problem = f"gave up after {self._starts} restarts: {self.problem}"
        log.error("source_abandoned", source=self.source.name, problem=self.problem)
        await asyncio.Event().wait()

    async def _start(self) -> None:
        try:
            await self.source.start()
        except SourceFailed as error:
            self.problem = str(error)  # the next request fails and restarts it

    def _succeed(self) -> None:
        self._breaker.succeed()
        self.good_rounds += 1
        self.problem = ""
        if self.good_rounds >= self._settings.recover_after:
            self._starts = 0

    def _fail(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("signal_failed", source=self.source.name, problem=problem)
        self.problem = problem
        self.good_rounds = 0
        self._breaker.fail()

    def _skip(self, markets: Mapping[str, Market]) -> None:
        for _ in markets:
            self._metrics.signal(self.source.name, outcome="skipped")
