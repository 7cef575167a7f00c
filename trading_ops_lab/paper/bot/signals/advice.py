"""The model beside the strategy: whose word a pass goes by, and what is told of that."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

from trading_ops import clock, logs
from trading_ops.botkit.records.events import Event, EventKind
from trading_ops.errors import TradingOpsError
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.signals.asker import Asker
from trading_ops_lab.paper.bot.signals.choice import Choice
from trading_ops_lab.paper.bot.signals.settings import SignalSettings
from trading_ops_lab.paper.bot.signals.source import Market, Signal, Source
from trading_ops_lab.paper.bot.signals.validation import usable

log = logs.get(__name__)

MOST_NOTES = 100
"""Changes that wait to be stored; while the records are down, more are only logged."""

AGAIN_SECONDS = 2.0

Note = Callable[[Event], Awaitable[None]]


class Advice:
    """One pass after the other: the model's latest usable signals, or none."""

    def __init__(
        self, source: Source, metrics: BotMetrics, settings: SignalSettings, *, note: Note
    ) -> None:
        """Take the model, and what keeps events."""
        self._source = source
        self._metrics = metrics
        self._settings = settings
        self._note = note
        self._notes: asyncio.Queue[Event] = asyncio.Queue(MOST_NOTES)
        self._why = ""
        self._otherwise = "fallback" if settings.stand_in else "nobody"
        self._begin()
        if settings.stand_in:
            metrics.fallback_active(active=True)

    @property
    def detail(self) -> str:
        """Say who decides, in a few words for people."""
        if self._choice.model_decides:
            return f"the {self._source.name} decides"
        why = self._asker.problem or self._why or "the model proves itself"
        who = "the fallback" if self._settings.stand_in else "nobody"
        return f"{who} decides: {why}"

    async def signals(self, markets: Mapping[str, Market]) -> Mapping[str, Signal] | None:
        """Return the model's signals to go by, or None when it does not decide.

        Waits no longer than the budget, and not at all while the model does not decide.
        """
        if not markets:
            return None
        answered = self._asker.offer(markets)
        if self._choice.model_decides:
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
        whole = len(found) == len(markets)
        if self._choice.judge(usable=whole, good_rounds=self._asker.good_rounds):
            self._tell()
        if self._choice.model_decides:
            return found
        if self._settings.stand_in:
            for _ in markets:
                self._metrics.signal_fallback(self._source.name)
        return None

    async def run(self) -> None:
        """Ask the model, and store what is told, until cancelled; then the model is ended."""
        tasks = [asyncio.create_task(self._asker.run()), asyncio.create_task(self._keep_notes())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def forget(self) -> None:
        """Begin anew: the model must prove itself again."""
        if self._choice.model_decides:
            self._choice.model_decides = False
            self._asker.problem = "the signals were restarted"
            self._tell()
        self._begin()

    def _begin(self) -> None:
        self._choice = Choice(self._settings.recover_after)
        self._asker = Asker(self._source, self._metrics, self._settings)

    def _tell(self) -> None:
        decides = self._choice.model_decides
        if self._settings.stand_in:
            self._metrics.fallback_active(active=not decides)
        problem = "" if decides else self._asker.problem or "its signals are too old"
        self._why = problem
        log.warning(
            "decider_changed", strategy=self._source.name, model_decides=decides, problem=problem
        )
        event = Event(
            at=clock.timestamp(),
            kind=EventKind.SIGNAL,
            code=f"{'model' if decides else self._otherwise}_decides",
            detail={"source": self._source.name, "problem": problem},
        )
        with contextlib.suppress(asyncio.QueueFull):
            self._notes.put_nowait(event)

    async def _keep_notes(self) -> None:
        """Store what is told, however long the records are away: a pass must not wait for it."""
        while True:
            event = await self._notes.get()
            while True:
                try:
                    await self._note(event)
                except TradingOpsError as error:
                    log.info("signal_event_waits", error=str(error))
                    await asyncio.sleep(AGAIN_SECONDS)
                else:
                    break
