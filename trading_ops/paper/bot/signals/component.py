"""The signals component: what the strategy wants to hold, from the latest quotes."""

from collections.abc import Mapping, Sequence

from trading_ops.instrument import BotMetrics
from trading_ops.paper.bot.stage import Stage
from trading_ops.paper.bot.trading.market import Quote
from trading_ops.paper.bot.trading.strategy import Cross, Target


class Signals(Stage[Mapping[str, Quote], dict[str, Target]]):
    """Feeds each symbol's middle price to its strategy, once a pass."""

    def __init__(
        self, metrics: BotMetrics, *, symbols: Sequence[str], fast: int, slow: int
    ) -> None:
        """Take the symbols and the lengths of the averages, in passes."""
        super().__init__("signals", metrics)
        self._symbols = symbols
        self._lengths = fast, slow
        self._crosses = self._anew()

    async def work(self, asked: Mapping[str, Quote]) -> dict[str, Target]:
        """Return the target of each symbol; one without a quote is unknown."""
        return {
            symbol: cross.see(asked[symbol].middle) if symbol in asked else Target.UNKNOWN
            for symbol, cross in self._crosses.items()
        }

    async def close(self) -> None:
        """Forget the prices: a restarted strategy trusts none that it did not see."""
        await super().close()
        self._crosses = self._anew()

    def _anew(self) -> dict[str, Cross]:
        return {symbol: Cross(*self._lengths) for symbol in self._symbols}
