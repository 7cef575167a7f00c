"""The public REST methods: what the market looks like to anyone."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from aiohttp import web

from trading_ops import clock
from trading_ops_lab.paper.venue import forms, wire
from trading_ops_lab.paper.venue.engine import Engine
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.market import RECENT_TRADES, Market
from trading_ops_lab.paper.venue.orders import ZERO, Side
from trading_ops_lab.paper.venue.pairs import ASSETS, find_pair, find_pairs

Query = Mapping[str, str]

INTERVALS: Final = (1, 5, 15, 30, 60, 240, 1440, 10_080, 21_600)
"""Minutes that a candle may last."""

DEPTH: Final = 100
"""Levels of the order book when none are asked for."""

LONGEST_ANSWER: Final = 720
"""Most candles in one answer."""


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
            return wire.refusal("EGeneral:Unknown method")
        try:
            return wire.answer(method(request.query))
        except VenueRefusal as no:
            return wire.refusal(no.code)

    def time(self, _query: Query) -> wire.Answer:
        """Return the venue's clock."""
        now = self._now()
        text = datetime.fromtimestamp(now, tz=UTC).strftime("%a, %d %b %y %H:%M:%S +0000")
        return {"unixtime": int(now), "rfc1123": text}

    def system_status(self, _query: Query) -> wire.Answer:
        """Return whether trading is open."""
        return {
            "status": self._engine.status.system(),
            "timestamp": wire.stamp(self._now(), precise=False),
        }

    def assets(self, query: Query) -> wire.Answer:
        """List the assets of a class; of currencies when none is given."""
        wanted = query.get("aclass", "currency")
        return {a.id: wire.asset(a) for a in ASSETS.values() if a.asset_class == wanted}

    def asset_pairs(self, query: Query) -> wire.Answer:
        """List the pairs, or those that are asked for."""
        fees, now = self._engine.fees, clock.timestamp()
        pairs = find_pairs(query.get("pair", ""), query.get("aclass_base", ""))
        return {
            pair.id: wire.pair(pair, fees, self._engine.status.pair(pair.id, now)) for pair in pairs
        }

    def ticker(self, query: Query) -> wire.Answer:
        """Return best prices, the last trade and the day's figures."""
        return {
            pair.id: self._ticker(self._engine.markets[pair.id])
            for pair in find_pairs(query.get("pair", ""), query.get("asset_class", ""))
        }

    def depth(self, query: Query) -> wire.Answer:
        """Return the order book."""
        market = self._market(query)
        count = int(forms.number(query, "count", DEPTH))
        now = int(self._now())
        sides: dict[str, Side] = {"asks": "sell", "bids": "buy"}
        return {
            market.pair.id: {
                name: [
                    [wire.price(market.pair, price), wire.volume(volume), now]
                    for price, volume in self._levels(market, side, count)
                ]
                for name, side in sides.items()
            }
        }

    def ohlc(self, query: Query) -> wire.Answer:
        """Return candles; `last` is the newest that is closed."""
        market = self._market(query)
        minutes = int(forms.number(query, "interval", 1))
        if minutes not in INTERVALS:
            raise VenueRefusal("EGeneral:Invalid arguments")
        since = int(forms.number(query, "since", 0))
        candles = [c for c in market.candles.every(minutes) if c.start > since]
        last = candles[-2].start if len(candles) > 1 else since
        shown = candles[-LONGEST_ANSWER:]
        return {market.pair.id: [wire.candle(market.pair, c) for c in shown], "last": last}

    def trades(self, query: Query) -> wire.Answer:
        """Return the newest public trades; `last` is the time of the last one in nanoseconds."""
        market = self._market(query)
        since, count = (
            forms.number(query, "since", 0),
            int(forms.number(query, "count", RECENT_TRADES)),
        )
        found = [trade for trade in market.trades if trade.time > since][-max(1, count) :]
        rows = [
            [
                wire.price(market.pair, trade.price),
                wire.volume(trade.volume),
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

    def _ticker(self, market: Market) -> wire.Answer:
        pair, day, open_ = market.pair, market.candles.day(), market.candles.open
        best: dict[str, list[str]] = {}
        sides: dict[str, Side] = {"a": "sell", "b": "buy"}
        for key, side in sides.items():
            price, volume = next(iter(self._levels(market, side, 1)), (market.last.price, ZERO))
            best[key] = [wire.price(pair, price), str(int(volume)), f"{volume:.3f}"]
        return {
            **best,
            "c": [wire.price(pair, market.last.price), wire.volume(market.last.volume)],
            "v": [wire.volume(open_.volume), wire.volume(day.volume)],
            "p": [wire.price(pair, open_.average), wire.price(pair, day.average)],
            "t": [open_.count, day.count],
            "l": [wire.price(pair, open_.low), wire.price(pair, day.low)],
            "h": [wire.price(pair, open_.high), wire.price(pair, day.high)],
            "o": wire.price(pair, day.open),
        }
