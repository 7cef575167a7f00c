"""The signals component: the target positions, from the strategy or from a model."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from trading_ops import clock
from trading_ops.botkit.circuit_breaker import BreakerState
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.orders.market import Quote
from trading_ops.botkit.stage import Stage
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.config import BotConfig
from trading_ops_lab.paper.bot.signals.advice import Advice, RecordEvent
from trading_ops_lab.paper.bot.signals.model import MODEL, ModelProcess
from trading_ops_lab.paper.bot.signals.prices import SignalPrices, prices_to_store
from trading_ops_lab.paper.bot.signals.settings import Deciding, SignalSettings
from trading_ops_lab.paper.bot.signals.source import Market, Signal
from trading_ops_lab.paper.bot.trading.strategy import Cross, Target

SOURCE = "moving_averages"
"""The strategy's name in metrics."""


def sources_of(settings: SignalSettings) -> list[str]:
    """Return the names of the signal sources in metrics."""
    if settings.source is not Deciding.MODEL:
        return [SOURCE]
    return [SOURCE, MODEL] if settings.fallback else [MODEL]


def advice_of(
    config: BotConfig,
    metrics: BotMetrics,
    *,
    record: RecordEvent,
    suspended: Callable[[], bool],
) -> Advice | None:
    """Return the model beside the strategy, or None without one."""
    if config.signals.source is not Deciding.MODEL:
        return None
    source = ModelProcess(config.state_dir, seed=config.signals.seed)
    return Advice(source, metrics, config.signals, record=record, suspended=suspended)


class Signals(Stage[Mapping[str, Quote], dict[str, Target]]):
    """Feeds each symbol's mid price to its strategy once a pass, and queries the model if any.

    Each pass counts as one signal of the strategy: ok if there is a target for each symbol, skipped
    while there are too few prices or the breaker is open. Without a model there is no metric of the
    fallback; without `fallback` there is none of the strategy.
    """

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        symbols: Sequence[str],
        fast: int,
        slow: int,
        advice: Advice | None = None,
        fallback: bool = True,
    ) -> None:
        """Set up the strategies.

        Args:
            metrics: of the bot.
            symbols: the traded symbols.
            fast: passes in the fast moving average.
            slow: passes in the slow moving average.
            advice: of the model; None: the strategy decides.
            fallback: whether the strategy decides while the model does not; otherwise the bot
                keeps its positions.
        """
        self._advice = advice
        self._stands_in = fallback or advice is None
        super().__init__("signals", metrics)
        self.decided: dict[str, Signal] = {}
        """The signal behind each target of the latest pass, by symbol."""

        self._symbols = symbols
        self._lengths = fast, slow
        self._crosses = self._new_crosses()
        self._seen_at = 0.0

    async def ask(self, quotes: Mapping[str, Quote], *, within: float) -> dict[str, Target]:
        """Return the targets, and record the outcome in the metrics.

        Raises:
            Unavailable: they could not be computed.
        """
        began = clock.monotonic()
        breaker = self.breaker
        held_back = breaker.state is BreakerState.HALF_OPEN or breaker.seconds_until_trial() > 0
        try:
            targets = await super().ask(quotes, within=within)
        except Unavailable as error:
            timed_out = isinstance(error.__cause__, TimeoutError)
            self._record("timeout" if timed_out else "skipped" if held_back else "failed", began)
            raise
        self._record("skipped" if Target.UNKNOWN in targets.values() else "ok", began)
        return targets

    def _record(self, outcome: str, began: float) -> None:
        if not self._stands_in:
            return
        seconds = None if outcome == "skipped" else clock.monotonic() - began
        self.metrics.signal(SOURCE, outcome=outcome, seconds=seconds)

    async def work(self, quotes: Mapping[str, Quote]) -> dict[str, Target]:
        """Return the target of each symbol; one without a quote is unknown."""
        self._seen_at = clock.timestamp()
        targets = {
            symbol: cross.see(quotes[symbol].middle) if symbol in quotes else Target.UNKNOWN
            for symbol, cross in self._crosses.items()
        }
        self.decided = await self._decide(targets)
        if not self._stands_in:
            targets = dict.fromkeys(targets, Target.UNKNOWN)
        return targets | {symbol: signal.target for symbol, signal in self.decided.items()}

    def decided_for(self, symbol: str) -> Signal | None:
        """Return the signal behind the latest target of a symbol."""
        return self.decided.get(symbol)

    async def run(self) -> None:
        """Process passes and query the model, until cancelled."""
        if self._advice is None:
            await super().run()
            return
        advising = asyncio.create_task(self._advice.run(), name="advice")
        working = asyncio.create_task(super().run(), name="signals-work")
        try:
            # Neither ends without an error; then the other one is stopped too.
            await asyncio.wait({advising, working}, return_when=asyncio.FIRST_EXCEPTION)
            for task in (advising, working):
                if task.done():
                    task.result()
        finally:
            for task in (advising, working):
                task.cancel()
            await asyncio.gather(advising, working, return_exceptions=True)

    async def close(self) -> None:
        """Discard the prices: a restarted strategy uses only prices that it has seen."""
        await super().close()
        self._crosses = self._new_crosses()
        self.decided = {}
        if self._advice is not None:
            self._advice.reset()

    async def _decide(self, targets: Mapping[str, Target]) -> dict[str, Signal]:
        """Return the model's signals, or the strategy's if the model does not decide."""
        ready = [symbol for symbol, target in targets.items() if target is not Target.UNKNOWN]
        if self._advice is not None:
            markets = {
                symbol: Market(symbol=symbol, prices=self._crosses[symbol].prices, at=self._seen_at)
                for symbol in ready
            }
            if (advised := await self._advice.signals(markets)) is not None:
                return dict(advised)
        if not self._stands_in:
            return {}
        return {
            symbol: Signal(
                id=f"{SOURCE}-{self._seen_at:.3f}",
                source=SOURCE,
                symbol=symbol,
                target=targets[symbol],
                at=self._seen_at,
            )
            for symbol in ready
        }

    def _update_health(self) -> None:
        super()._update_health()
        if self._advice is not None and self.breaker.closed:
            self.detail = self._advice.detail

    def prices_to_store(self) -> SignalPrices:
        """Return the prices that the next run needs to continue."""
        return prices_to_store(
            self._seen_at, {name: cross.prices for name, cross in self._crosses.items()}
        )

    def resume(self, prices: Mapping[str, Sequence[Decimal]]) -> None:
        """Continue from the prices of an earlier run; other symbols are ignored."""
        for symbol, cross in self._crosses.items():
            cross.resume(prices.get(symbol, ()))

    def _new_crosses(self) -> dict[str, Cross]:
        return {symbol: Cross(*self._lengths) for symbol in self._symbols}
