"""Quotes of Interactive Brokers, through `ib_async`, on a connection of their own."""

import asyncio
import math
from collections.abc import Sequence
from decimal import Decimal

from ib_async import Ticker

from trading_ops.botkit.venue.ib import connected, contracts_of
from trading_ops.botkit.venue.quotes import OnQuote


class IbQuotes:
    """One connection with a subscription of each symbol.

    Example:
        feed = QuoteFeed(
            metrics,
            make_source=lambda: IbQuotes("127.0.0.1", 4002, client_id=2, symbols=["AAPL/USD"]),
            stale_seconds=5,
        )
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        client_id: int,
        symbols: Sequence[str],
        timeout_seconds: float = 5.0,
    ) -> None:
        """Set up the connection.

        Args:
            host: of TWS or IB Gateway.
            port: of its API.
            client_id: of this connection; another one than that of the orders.
            symbols: to subscribe to.
            timeout_seconds: of connecting.
        """
        self._address = host, port
        self._client_id = client_id
        self._contracts = contracts_of(symbols)
        self._timeout = timeout_seconds

    async def deliver(self, on_quote: OnQuote) -> None:
        """Deliver quotes until cancelled; return when the connection ends."""
        ib = await connected(*self._address, self._client_id, self._timeout)
        ended = asyncio.Event()
        ib.disconnectedEvent += ended.set
        try:
            await ib.qualifyContractsAsync(*self._contracts.values())
            for symbol, contract in self._contracts.items():
                ticker = ib.reqMktData(contract)

                def receive(ticker: Ticker, symbol: str = symbol) -> None:
                    if _is_price(ticker.bid) and _is_price(ticker.ask):
                        on_quote(symbol, Decimal(str(ticker.bid)), Decimal(str(ticker.ask)), None)

                ticker.updateEvent += receive
            await ended.wait()
        finally:
            ib.disconnect()


def _is_price(value: float) -> bool:
    """Return whether it is one; IB sends -1 for an empty side of the book."""
    return not math.isnan(value) and value > 0
