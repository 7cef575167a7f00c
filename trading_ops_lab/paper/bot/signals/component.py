"""The signals component: what to hold, by the strategy or by a model that it stands in for."""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal

from trading_ops import clock
from trading_ops.botkit.circuit_breaker import BreakerState
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.orders.market import Quote
from trading_ops.botkit.stage import Stage
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.signals.advice import Advice
from trading_ops_lab.paper.bot.signals.memory import Remembered, remember
from trading_ops_lab.paper.bot.signals.source import Market, Signal
from trading_ops_lab.paper.bot.trading.strategy import Cross, Target

SOURCE = "moving_averages"
"""What metrics call the strategy."""


class Signals(Stage[Mapping[str, Quote], dict[str, Target]]):
    """Feeds each symbol's middle price to its strategy, once a pass, and asks the model if any.

    A pass is one signal of the strategy in the metrics: ok when there is a target for each symbol,
    skipped while too few prices were seen or the breaker is open. Without a model metrics have no
    word on whether a fallback decides, and where the strategy does not stand in none on it.
    """

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        symbols: Sequence[str],
        fast: int,
        slow: int,
        advice: Advice | None = None,
        stand_in: bool = True,
    ) -> None:
        """Take the symbols, the lengths of the averages in passes, and the model.

        Args:
            metrics: of the bot.
            symbols: that are traded.
            fast: passes in the fast average.
            slow: passes in the slow one.
            advice: the model's; None: the strategy decides.
            stand_in: whether the strategy decides while the model does not; else nobody does.
        """
        self._advice = advice
        self._stands_in = stand_in or advice is None
        super().__init__("signals", metrics)
        self.decided: dict[str, Signal] = {}
        """What the latest pass went by, for each symbol that had a target."""

        self._symbols = symbols
        self._lengths = fast, slow
        self._crosses = self._anew()
        self._seen_at = 0.0

    async def ask(self, asked: Mapping[str, Quote], *, within: float) -> dict[str, Target]:
        """Have the targets computed, and record how that went.

        Raises:
            Unavailable: they were not.
        """
        began = clock.monotonic()
        breaker = self.breaker
        held_back = breaker.state is BreakerState.HALF_OPEN or breaker.seconds_until_trial() > 0
        try:
            targets = await super().ask(asked, within=within)
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

    async def work(self, asked: Mapping[str, Quote]) -> dict[str, Target]:
        """Return the target of each symbol; one without a quote is unknown."""
        self._seen_at = clock.timestamp()
        targets = {
            symbol: cross.see(asked[symbol].middle) if symbol in asked else Target.UNKNOWN
            for symbol, cross in self._crosses.items()
        }
        self.decided = await self._decide(targets)
        if not self._stands_in:
            targets = dict.fromkeys(targets, Target.UNKNOWN)
        return targets | {symbol: signal.target for symbol, signal in self.decided.items()}

    def decided_for(self, symbol: str) -> Signal | None:
        """Return what the latest pass went by for a symbol."""
        return self.decided.get(symbol)

    async def run(self) -> None:
        """Work on what is asked; beside it the model is asked."""
        if self._advice is None:
            await super().run()
            return
        advising = asyncio.create_task(self._advice.run(), name="advice")
        working = asyncio.create_task(super().run(), name="signals-work")
        try:
            # Neither ends by itself; a bug in one must not leave half of them.
            await asyncio.wait({advising, working}, return_when=asyncio.FIRST_EXCEPTION)
            for task in (advising, working):
                if task.done():
                    task.result()
        finally:
            for task in (advising, working):
                task.cancel()
            await asyncio.gather(advising, working, return_exceptions=True)

    async def close(self) -> None:
        """Forget the prices: a restarted strategy trusts none that it did not see."""
        await super().close()
        self._crosses = self._anew()
        self.decided = {}
        if self._advice is not None:
            self._advice.forget()

    async def _decide(self, targets: Mapping[str, Target]) -> dict[str, Signal]:
        """Return the signals to go by: the model's, or the strategy's as such."""
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

    def remembered(self) -> Remembered:
        """Return what the next life must know to go on."""
        return remember(self._seen_at, {name: one.prices for name, one in self._crosses.items()})

    def resume(self, prices: Mapping[str, Sequence[Decimal]]) -> None:
        """Go on from an earlier life's prices; those of other symbols are left out."""
        for symbol, cross in self._crosses.items():
            cross.resume(prices.get(symbol, ()))

    def _anew(self) -> dict[str, Cross]:
        return {symbol: Cross(*self._lengths) for symbol in self._symbols}
