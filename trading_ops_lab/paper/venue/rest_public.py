"""The public REST methods: market data."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from aiohttp import web

from trading_ops import clock
from trading_ops_lab.paper.venue import form_fields, rest_shapes
from trading_ops_lab.paper.venue.engine import Engine
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.market import RECENT_TRADES, Market
from trading_ops_lab.paper.venue.orders import ZERO, Side
from trading_ops_lab.paper.venue.pairs import ASSET_CLASS, ASSETS, find_pair, find_pairs

Query = Mapping[str, str]

INTERVALS: Final = (1, 5, 15, 30, 60, 240, 1440, 10_080, 21_600)
"""Supported candle lengths in minutes."""

DEPTH: Final = 100
"""Default number of order book levels."""

LONGEST_ANSWER: Final = 720
"""Maximum candles in one answer."""


class PublicApi:
    """One method per Kraken endpoint; each takes the query and returns the result."""

    def __init__(self, engine: Engine) -> None:
        """Read from the engine's markets."""
        self._engine = engine
        self._methods: dict[str, Callable[[Query], object]] = {
            "Time": self.time,
            "SystemStatus": self.system_status,
            "Assets": self.assets,
            "AssetPairs": self.asset_pairs,
            "Ticker": self.ticker,
            "Depth": self.depth,
            "OHLC": self.ohlc,
            "Trades": self.trades,
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer /0/public/{method}."""
        method = self._methods.get(request.match_info["method"])
        if method is None:
            return rest_shapes.refusal("EGeneral:Unknown method")
        try:
            return rest_shapes.answer(method(request.query))
        except VenueRefusal as no:
            return rest_shapes.refusal(no.code)

    def time(self, _query: Query) -> rest_shapes.Answer:
        """Return the venue's clock."""
        now = self._now()
        text = datetime.fromtimestamp(now, tz=UTC).strftime("%a, %d %b %y %H:%M:%S +0000")
        return {"unixtime": int(now), "rfc1123": text}

    def system_status(self, _query: Query) -> rest_shapes.Answer:
        """Return whether trading is open."""
        return {
            "status": self._engine.status.system(),
            "timestamp": rest_shapes.stamp(self._now(), precise=False),
        }

    def assets(self, query: Query) -> rest_shapes.Answer:
        """List the assets of a class; default: currencies."""
        if query.get("aclass", ASSET_CLASS) != ASSET_CLASS:
            return {}
        return {asset.id: rest_shapes.asset(asset) for asset in ASSETS.values()}

    def asset_pairs(self, query: Query) -> rest_shapes.Answer:
        """List all pairs, or the requested ones."""
        fees = self._engine.fees
        pairs = find_pairs(query.get("pair", ""), query.get("aclass_base", ""))
        return {
            pair.id: rest_shapes.pair(pair, fees, self._engine.status.pair(pair.id))
            for pair in pairs
        }

    def ticker(self, query: Query) -> rest_shapes.Answer:
        """Return best prices, the last trade and the day's figures."""
        return {
            pair.id: self._ticker(self._engine.markets[pair.id])
            for pair in find_pairs(query.get("pair", ""), query.get("asset_class", ""))
        }

    def depth(self, query: Query) -> rest_shapes.Answer:
        """Return the order book."""
        market = self._market(query)
        count = int(form_fields.number(query, "count", DEPTH))
        now = int(self._now())
        sides: dict[str, Side] = {"asks": "sell", "bids": "buy"}
        return {
            market.pair.id: {
                name: [
                    [rest_shapes.price(market.pair, price), rest_shapes.volume(volume), now]
                    for price, volume in self._levels(market, side, count)
                ]
                for name, side in sides.items()
            }
        }

    def ohlc(self, query: Query) -> rest_shapes.Answer:
        """Return candles; `last` is the newest closed one."""
        market = self._market(query)
        minutes = int(form_fields.number(query, "interval", 1))
        if minutes not in INTERVALS:
            raise VenueRefusal("EGeneral:Invalid arguments")
        since = int(form_fields.number(query, "since", 0))
        candles = [c for c in market.candles.every(minutes) if c.start > since]
        last = candles[-2].start if len(candles) > 1 else since
        shown = candles[-LONGEST_ANSWER:]
        return {market.pair.id: [rest_shapes.candle(market.pair, c) for c in shown], "last": last}

    def trades(self, query: Query) -> rest_shapes.Answer:
        """Return the newest public trades; `last` is the time of the last one in nanoseconds."""
        market = self._market(query)
        since, count = (
            form_fields.number(query, "since", 0),
            int(form_fields.number(query, "count", RECENT_TRADES)),
        )
        found = [trade for trade in market.trades if trade.time > since][-max(1, count) :]
        rows = [
            [
                rest_shapes.price(market.pair, trade.price),
                rest_shapes.volume(trade.volume),
                trade.time,
                trade.side[0],
                trade.kind[0],
                "",
            ]
            for trade in found
        ]
        last = int(found[-1].time * 1e9) if found else int(since)
        return {market.pair.id: rows, "last": str(last)}

    def _now(self) -> float:
        return clock.timestamp() + self._engine.clearing.skew

    def _market(self, query: Query) -> Market:
        return self._engine.markets[find_pair(query.get("pair", "")).id]

    def _levels(self, market: Market, side: Side, count: int) -> list[tuple[Decimal, Decimal]]:
        return market.depth(side, self._engine.resting(market.pair.id), count)

    def _ticker(self, market: Market) -> rest_shapes.Answer:
        pair, day, open_ = market.pair, market.candles.day(), market.candles.open
        best: dict[str, list[str]] = {}
        sides: dict[str, Side] = {"a": "sell", "b": "buy"}
        for key, side in sides.items():
            price, volume = next(iter(self._levels(market, side, 1)), (market.last.price, ZERO))
            best[key] = [rest_shapes.price(pair, price), str(int(volume)), f"{volume:.3f}"]
        return {
            **best,
            "c": [
                rest_shapes.price(pair, market.last.price),
                rest_shapes.volume(market.last.volume),
            ],
            "v": [rest_shapes.volume(open_.volume), rest_shapes.volume(day.volume)],
            "p": [rest_shapes.price(pair, open_.average), rest_shapes.price(pair, day.average)],
            "t": [open_.count, day.count],
            "l": [rest_shapes.price(pair, open_.low), rest_shapes.price(pair, day.low)],
            "h": [rest_shapes.price(pair, open_.high), rest_shapes.price(pair, day.high)],
            "o": rest_shapes.price(pair, day.open),
        }
