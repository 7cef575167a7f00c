"""The model next to the strategy: which of them decides, and the events about changes."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

from trading_ops import clock, logs
from trading_ops.botkit.records.events import Event, EventLogKind
from trading_ops.errors import TradingOpsError
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.signals.asker import Asker
from trading_ops_lab.paper.bot.signals.settings import SignalSettings
from trading_ops_lab.paper.bot.signals.source import Market, Signal, Source
from trading_ops_lab.paper.bot.signals.validation import usable

log = logs.get(__name__)

MAX_PENDING = 100
"""Events that wait to be stored; while the records are down, more are only logged."""

RETRY_SECONDS = 2.0
"""Pause before an event that could not be stored is tried again."""

RecordEvent = Callable[[Event], Awaitable[None]]


class Decider:
    """Whether the model decides: it stops at once, and decides again after enough good rounds.

    The fallback decides at the start, until the model has answered enough rounds well.
    """

    def __init__(self, recover_after: int) -> None:
        """Set the number of good rounds in a row after which the model decides."""
        self._recover_after = recover_after
        self.model_decides = False

    def update(self, *, usable: bool, good_rounds: int) -> bool:
        """Evaluate one pass; return whether the decider changed.

        Args:
            usable: whether there is a usable signal for each symbol.
            good_rounds: rounds in a row that the model answered completely and validly.
        """
        before = self.model_decides
        if self.model_decides:
            # One bad answer changes nothing while the previous signal is still usable.
            self.model_decides = usable
        else:
            self.model_decides = usable and good_rounds >= self._recover_after
        return self.model_decides is not before


class Advice:
    """The model's latest usable signals in each pass, or none."""

    def __init__(
        self,
        source: Source,
        metrics: BotMetrics,
        settings: SignalSettings,
        *,
        record: RecordEvent,
        suspended: Callable[[], bool] = lambda: False,
    ) -> None:
        """Set up the model; `run` starts it.

        Args:
            source: the model.
            metrics: of the bot.
            settings: of the signals.
            record: stores an event.
            suspended: whether the model is not queried now.
        """
        self._suspended = suspended
        self._source = source
        self._metrics = metrics
        self._settings = settings
        self._record = record
        self._pending: asyncio.Queue[Event] = asyncio.Queue(MAX_PENDING)
        self._why = ""
        self._otherwise = "fallback" if settings.fallback else "no_source"
        self._start_over()
        if settings.fallback:
            metrics.fallback_active(active=True)

    @property
    def detail(self) -> str:
        """Return who decides and why, as text."""
        if self._decider.model_decides:
            return f"the {self._source.name} decides"
        why = self._asker.problem or self._why or "the model has not answered enough rounds yet"
        who = "the fallback" if self._settings.fallback else "no source"
        return f"{who} decides: {why}"

    async def signals(self, markets: Mapping[str, Market]) -> Mapping[str, Signal] | None:
        """Return the model's signals, or None when it does not decide.

        Waits at most the configured budget, and not at all while the model does not decide.
        """
        if not markets:
            return None
        if self._suspended():
            self._leave_out(len(markets))
            return None
        answered = self._asker.offer(markets)
        if self._decider.model_decides:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.budget_seconds):
                    await answered.wait()
        now, age = clock.timestamp(), self._settings.maximum_age_seconds
        latest = {symbol: self._asker.latest.get(symbol) for symbol in markets}
        found = {
            symbol: signal
            for symbol, signal in latest.items()
            if signal is not None and usable(signal, now=now, maximum_age=age)
        }
        complete = len(found) == len(markets)
        if self._decider.update(usable=complete, good_rounds=self._asker.good_rounds):
            self._report_change()
        if self._decider.model_decides:
            return found
        if self._settings.fallback:
            for _ in markets:
                self._metrics.signal_fallback(self._source.name)
        return None

    def _leave_out(self, symbols: int) -> None:
        if self._decider.model_decides:
            self._decider.model_decides = False
            self._asker.problem = "suspended for maintenance"
            self._report_change()
        if self._settings.fallback:
            for _ in range(symbols):
                self._metrics.signal_fallback(self._source.name)

    async def run(self) -> None:
        """Ask the model and store the events until cancelled; then the model is stopped."""
        tasks = [asyncio.create_task(self._asker.run()), asyncio.create_task(self._store_events())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def reset(self) -> None:
        """Start over: the model decides only after enough good rounds."""
        if self._decider.model_decides:
            self._decider.model_decides = False
            self._asker.problem = "the signals were restarted"
            self._report_change()
        self._start_over()

    def _start_over(self) -> None:
        self._decider = Decider(self._settings.recover_after)
        self._asker = Asker(self._source, self._metrics, self._settings)

    def _report_change(self) -> None:
        decides = self._decider.model_decides
        if self._settings.fallback:
            self._metrics.fallback_active(active=not decides)
        problem = "" if decides else self._asker.problem or "its signals are too old"
        self._why = problem
        log.warning(
            "decider_changed", strategy=self._source.name, model_decides=decides, problem=problem
        )
        event = Event(
            at=clock.timestamp(),
            kind=EventLogKind.SIGNAL,
            code=f"{'model' if decides else self._otherwise}_decides",
            detail={"source": self._source.name, "problem": problem},
        )
        with contextlib.suppress(asyncio.QueueFull):
            self._pending.put_nowait(event)

    async def _store_events(self) -> None:
        """Store events in the background, so that no pass waits while the records are down."""
        while True:
            event = await self._pending.get()
            while True:
                try:
                    await self._record(event)
                except TradingOpsError as error:
                    log.info("signal_event_waits", error=str(error))
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    break
