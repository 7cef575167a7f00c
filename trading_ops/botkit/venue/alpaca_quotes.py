"""Quotes of Alpaca's WebSocket feed, through `alpaca-py`."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from alpaca.data.live.stock import StockDataStream

from trading_ops.botkit.venue.quotes import OnQuote


class AlpacaQuotes(StockDataStream):
    """One stream of quotes; the library connects it again when its connection ends.

    Example:
        feed = QuoteFeed(
            metrics,
            make_source=lambda: AlpacaQuotes(key, secret, symbols=["AAPL/USD"]),
            stale_seconds=5,
        )
    """

    def __init__(self, key: str, secret: str, *, symbols: Sequence[str], **options: Any) -> None:
        """Set up the stream.

        Args:
            key: the API key.
            secret: its secret.
            symbols: to subscribe to.
            options: of `StockDataStream`, such as `feed=DataFeed.SIP`.
        """
        super().__init__(key, secret, raw_data=True, **options)
        self._symbols = {symbol.partition("/")[0]: symbol for symbol in symbols}

    async def deliver(self, on_quote: OnQuote) -> None:
        """Deliver quotes until cancelled."""

        async def receive(quote: Any) -> None:
            bid, ask = Decimal(str(quote["bp"])), Decimal(str(quote["ap"]))
            if bid and ask:  # 0: this side of the book is empty
                at = quote["t"].to_unix()
                on_quote(self._symbols[quote["S"]], bid, ask, at)

        self.subscribe_quotes(receive, *self._symbols)
        try:
            await self._run_forever()  # `run` needs an event loop of its own
        finally:
            await self.close()
