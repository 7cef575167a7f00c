"""The signals component: what the strategy wants to hold, from the latest quotes."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from trading_ops import clock
from trading_ops.instrument import BotMetrics
from trading_ops.paper.bot.breaker import BreakerState
from trading_ops.paper.bot.component import Unavailable
from trading_ops.paper.bot.signals.memory import Remembered, remember
from trading_ops.paper.bot.stage import Stage
from trading_ops.paper.bot.trading.market import Quote
from trading_ops.paper.bot.trading.strategy import Cross, Target

SOURCE = "moving_averages"
"""What metrics call the strategy."""


class Signals(Stage[Mapping[str, Quote], dict[str, Target]]):
    """Feeds each symbol's middle price to its strategy, once a pass.

    A pass is one signal in the metrics: ok when there is a target for each symbol, skipped while
    too few prices were seen or the breaker is open. There is no fallback, so metrics have no word
    on whether it decides.
    """

    def __init__(
        self, metrics: BotMetrics, *, symbols: Sequence[str], fast: int, slow: int
    ) -> None:
        """Take the symbols and the lengths of the averages, in passes."""
        super().__init__("signals", metrics)
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
        held_back = breaker.state is BreakerState.HALF_OPEN or breaker.cooling_seconds() > 0
        try:
            targets = await super().ask(asked, within=within)
        except Unavailable as error:
            timed_out = isinstance(error.__cause__, TimeoutError)
            self._record("timeout" if timed_out else "skipped" if held_back else "failed", began)
            raise
        self._record("skipped" if Target.UNKNOWN in targets.values() else "ok", began)
        return targets

    def _record(self, outcome: str, began: float) -> None:
        seconds = None if outcome == "skipped" else clock.monotonic() - began
        self.metrics.signal(SOURCE, outcome=outcome, seconds=seconds)

    async def work(self, asked: Mapping[str, Quote]) -> dict[str, Target]:
        """Return the target of each symbol; one without a quote is unknown."""
        self._seen_at = clock.timestamp()
        return {
            symbol: cross.see(asked[symbol].middle) if symbol in asked else Target.UNKNOWN
            for symbol, cross in self._crosses.items()
        }

    async def close(self) -> None:
        """Forget the prices: a restarted strategy trusts none that it did not see."""
        await super().close()
        self._crosses = self._anew()

    def remembered(self) -> Remembered:
        """Return what the next life must know to go on."""
        return remember(self._seen_at, {name: one.prices for name, one in self._crosses.items()})

    def resume(self, prices: Mapping[str, Sequence[Decimal]]) -> None:
        """Go on from an earlier life's prices; those of other symbols are left out."""
        for symbol, cross in self._crosses.items():
            cross.resume(prices.get(symbol, ()))

    def _anew(self) -> dict[str, Cross]:
        return {symbol: Cross(*self._lengths) for symbol in self._symbols}
