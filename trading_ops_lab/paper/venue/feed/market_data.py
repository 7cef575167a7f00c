"""The channels of market data: ticker, book, trade and instrument."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

from trading_ops import clock
from trading_ops_lab.paper.venue import rest_shapes
from trading_ops_lab.paper.venue.engine import Engine
from trading_ops_lab.paper.venue.faults import Status
from trading_ops_lab.paper.venue.feed import shapes
from trading_ops_lab.paper.venue.feed.connection import BookView, Connection, Levels
from trading_ops_lab.paper.venue.market import Market
from trading_ops_lab.paper.venue.orders import ZERO, Side
from trading_ops_lab.paper.venue.pairs import ASSETS, PAIRS, SYMBOLS, Pair

PERCENT_DECIMALS: Final = Decimal("0.01")
DEPTHS: Final = (10, 25, 100, 500, 1000)
SNAPSHOT_TRADES: Final = 50

Update = tuple[str, str]
"""A channel and its message."""


class MarketData:
    """Produces market data for the subscribers."""

    def __init__(self, engine: Engine) -> None:
        """Read from the engine's markets."""
        self._engine = engine
        self._states = self._pair_states()

    def subscribe_ticker(self, connection: Connection, symbol: str) -> str:
        """Add a subscription; return the snapshot."""
        connection.tickers.add(symbol)
        return self._ticker(symbol, "snapshot")

    def subscribe_book(self, connection: Connection, symbol: str, depth: int) -> str:
        """Add a subscription; return the snapshot."""
        view = self._book(symbol, depth)
        connection.books[symbol] = view
        return self._book_message(symbol, "snapshot", view, view)

    def subscribe_trades(self, connection: Connection, symbol: str) -> str:
        """Add a subscription; return the snapshot."""
        market = self._market(symbol)
        connection.trades[symbol] = market.printed
        return self._trades(symbol, "snapshot", SNAPSHOT_TRADES)

    def subscribe_instruments(self, connection: Connection) -> str:
        """Add the subscription; return the snapshot."""
        connection.instruments = True
        pairs = [self._pair(pair) for pair in PAIRS.values()]
        content = {"assets": [shapes.asset(asset) for asset in ASSETS.values()], "pairs": pairs}
        # Unlike in other channels, the data is an object.
        return shapes.text({"channel": "instrument", "type": "snapshot", "data": content})

    def unsubscribe(self, connection: Connection, channel: str, symbol: str) -> None:
        """Remove a subscription."""
        if channel == "ticker":
            connection.tickers.discard(symbol)
        elif channel == "book":
            connection.books.pop(symbol, None)
        elif channel == "trade":
            connection.trades.pop(symbol, None)
        else:
            connection.instruments = False

    def updater(self) -> Callable[[Connection], Iterator[Update]]:
        """Read the markets once; return a function that sends each client its changes."""
        tickers: dict[str, str] = {}
        before, self._states = self._states, self._pair_states()
        changed = [pair for pair in PAIRS.values() if before[pair.id] != self._states[pair.id]]

        def ticker(symbol: str) -> str:
            if symbol not in tickers:
                tickers[symbol] = self._ticker(symbol, "update")
            return tickers[symbol]

        def updates(connection: Connection) -> Iterator[Update]:
            if connection.instruments:
                yield from self._instrument_updates(changed)
            for symbol in connection.tickers:
                yield "ticker", ticker(symbol)
            for symbol, view in connection.books.items():
                yield from self._book_updates(symbol, view)
            for symbol, printed in connection.trades.items():
                if new := self._market(symbol).printed - printed:
                    connection.trades[symbol] = printed + new
                    yield "trade", self._trades(symbol, "update", new)

        return updates

    def _instrument_updates(self, changed: list[Pair]) -> Iterator[Update]:
        pairs = [self._pair(pair) for pair in changed]
        if pairs:
            content = {"assets": [], "pairs": pairs}
            message = {"channel": "instrument", "type": "update", "data": content}
            yield "instrument", shapes.text(message)

    def _book_updates(self, symbol: str, view: BookView) -> Iterator[Update]:
        now = self._book(symbol, view.depth)
        changes = BookView(
            view.depth, _difference(view.bids, now.bids), _difference(view.asks, now.asks)
        )
        view.bids, view.asks = now.bids, now.asks
        if changes.bids or changes.asks:
            yield "book", self._book_message(symbol, "update", changes, now)

    def _book_message(self, symbol: str, kind: str, shown: BookView, full: BookView) -> str:
        content = {
            "symbol": symbol,
            "bids": shapes.levels(shown.bids),
            "asks": shapes.levels(shown.asks),
            "checksum": shapes.checksum(SYMBOLS[symbol], full.bids, full.asks),
            "timestamp": rest_shapes.stamp(clock.timestamp() + self._engine.clearing.skew),
        }
        return shapes.data("book", kind, content)

    def _book(self, symbol: str, depth: int) -> BookView:
        market = self._market(symbol)
        resting = self._engine.resting(market.pair.id)
        sides: tuple[Side, Side] = ("buy", "sell")
        bids, asks = (dict(market.depth(side, resting, depth)) for side in sides)
        return BookView(depth, bids, asks)

    def _trades(self, symbol: str, kind: str, count: int) -> str:
        market = self._market(symbol)
        newest = list(market.trades)[-count:]
        first = market.printed - len(newest) + 1
        items = [shapes.public_trade(symbol, n, trade) for n, trade in enumerate(newest, first)]
        return shapes.data("trade", kind, *items)

    def _ticker(self, symbol: str, kind: str) -> str:
        market = self._market(symbol)
        day, pair, last = market.candles.day(), market.pair, market.last.price
        bid, bid_volume = self._best(market, "buy")
        ask, ask_volume = self._best(market, "sell")
        content = {
            "symbol": symbol,
            "bid": bid,
            "bid_qty": bid_volume,
            "ask": ask,
            "ask_qty": ask_volume,
            "last": last,
            "volume": day.volume,
            "vwap": round(day.average, pair.price_decimals),
            "low": day.low,
            "high": day.high,
            "change": last - day.open,
            "change_pct": ((last / day.open - 1) * 100).quantize(PERCENT_DECIMALS),
            "timestamp": rest_shapes.stamp(market.last.time + self._engine.clearing.skew),
        }
        return shapes.data("ticker", kind, content)

    def _best(self, market: Market, side: Side) -> tuple[Decimal, Decimal]:
        resting = self._engine.resting(market.pair.id)
        return next(iter(market.depth(side, resting, 1)), (market.last.price, ZERO))

    def _market(self, symbol: str) -> Market:
        return self._engine.markets[SYMBOLS[symbol].id]

    def _pair(self, pair: Pair) -> shapes.Message:
        return shapes.pair(pair, self._states[pair.id])

    def _pair_states(self) -> dict[str, Status]:
        return {pair_id: self._engine.status.pair(pair_id) for pair_id in PAIRS}


def _difference(before: Levels, after: Levels) -> Levels:
    changed = {price: volume for price, volume in after.items() if before.get(price) != volume}
    return changed | dict.fromkeys(before.keys() - after.keys(), ZERO)
