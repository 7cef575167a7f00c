"""A small exchange in Binance's dialect, for a real Freqtrade in a dry run: candles that move.

`python -m tests.freqtrade.binance PORT CONTROL_PORT` is a process of its own. `POST /mode` at its
control port says how it fares: ok, 429, 500, hang or down; down closes the port. `POST /price`
sets the price, and `GET /asked` counts the requests by path. Source of the dialect:
https://developers.binance.com/docs/binance-spot-api-docs/rest-api.
"""

import asyncio
import contextlib
import math
import sys
import time
from collections import Counter
from typing import Any

from aiohttp import web

SYMBOLS = {"BTCUSDT": ("BTC", "USDT"), "ETHUSDT": ("ETH", "USDT")}
FIRST_PRICE = 50_000.0
MINUTE = 60_000
MOST_CANDLES = 1000
MODES = ("ok", "429", "500", "hang", "down")
SPREAD = 0.0002
"""Half of it, as a share of the price: what is bought now is sold for less."""


class Exchange:
    """Its prices and its mood."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mode = "ok"
        self.price = FIRST_PRICE
        self.asked: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None
        self._thawed = asyncio.Event()

    async def open(self) -> None:
        """Listen."""
        served = web.Application(middlewares=[self._mood])
        served.router.add_get("/api/v3/ping", _answers({}))
        served.router.add_get("/api/v3/time", _time)
        served.router.add_get("/api/v3/exchangeInfo", _answers(_exchange_info()))
        served.router.add_get("/api/v3/klines", self._klines)
        served.router.add_get("/api/v3/depth", self._depth)
        served.router.add_get("/api/v3/ticker/24hr", self._tickers)
        self._runner = web.AppRunner(served, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def change(self, mode: str) -> None:
        """Behave like this from now on; requests that hang are answered first."""
        if mode not in MODES:
            raise web.HTTPBadRequest(text=f"one of {', '.join(MODES)}, not {mode}")
        was, self.mode = self.mode, mode
        self._thawed.set()
        self._thawed = asyncio.Event()
        if mode == "down" and self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        elif was == "down" and mode != "down":
            await self.open()

    @web.middleware
    async def _mood(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked[request.path] += 1
        while self.mode == "hang":
            await self._thawed.wait()
        if self.mode == "429":
            body = {"code": -1003, "msg": "Too many requests; please slow down."}
            return web.json_response(body, status=429)
        if self.mode == "500":
            return web.Response(status=500, text="Internal Server Error")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _klines(self, request: web.Request) -> web.Response:
        limit = min(int(request.query.get("limit", 500)), MOST_CANDLES)
        newest = now() // MINUTE * MINUTE
        first = newest - (limit - 1) * MINUTE
        if "startTime" in request.query:
            asked = int(request.query["startTime"])
            first = max(-(-asked // MINUTE) * MINUTE, newest - MOST_CANDLES * MINUTE)
        opened = range(first, newest + 1, MINUTE)
        return web.json_response([self._candle(at) for at in list(opened)[:limit]])

    def _candle(self, opened: int) -> list[Any]:
        begin, end = self._level(opened), self._level(opened + MINUTE)
        low, high = min(begin, end) * 0.9999, max(begin, end) * 1.0001
        return [
            opened, *(f"{at:.2f}" for at in (begin, high, low, end)), "12.5", opened + MINUTE - 1,
            "625000.0", 100, "6.0", "300000.0", "0",
        ]  # fmt: skip

    def _level(self, at: int) -> float:
        """Return a price that moves by a hundredth within the hour."""
        return self.price * (1 + 0.001 * math.sin(at / MINUTE / 10))

    async def _depth(self, _request: web.Request) -> web.Response:
        middle = self._level(now())
        steps = [SPREAD * (1 + number / 10) for number in range(20)]
        return web.json_response(
            {
                "lastUpdateId": now(),
                "bids": [[f"{middle * (1 - step):.2f}", "5.0"] for step in steps],
                "asks": [[f"{middle * (1 + step):.2f}", "5.0"] for step in steps],
            }
        )

    async def _tickers(self, request: web.Request) -> web.Response:
        wanted = request.query.get("symbol")
        tickers = [self._ticker(name) for name in SYMBOLS if wanted in {None, name}]
        return web.json_response(tickers[0] if wanted else tickers)

    def _ticker(self, symbol: str) -> dict[str, Any]:
        price = self._level(now())
        return {
            "symbol": symbol, "priceChange": "0", "priceChangePercent": "0",
            "weightedAvgPrice": f"{price:.2f}", "prevClosePrice": f"{price:.2f}",
            "lastPrice": f"{price:.2f}", "lastQty": "0.1",
            "bidPrice": f"{price * (1 - SPREAD):.2f}", "bidQty": "5",
            "askPrice": f"{price * (1 + SPREAD):.2f}", "askQty": "5",
            "openPrice": f"{price:.2f}", "highPrice": f"{price:.2f}", "lowPrice": f"{price:.2f}",
            "volume": "1000", "quoteVolume": "50000000", "openTime": now() - 86_400_000,
            "closeTime": now(), "firstId": 1, "lastId": 100, "count": 100,
        }  # fmt: skip


def now() -> int:
    """Return milliseconds since the epoch."""
    return int(time.time() * 1000)  # noqa: TID251 - a server outside of what is tested


def _exchange_info() -> dict[str, Any]:
    return {
        "timezone": "UTC", "serverTime": now(), "rateLimits": [], "exchangeFilters": [],
        "symbols": [_symbol(name, *pair) for name, pair in SYMBOLS.items()],
    }  # fmt: skip


def _symbol(name: str, base: str, quote: str) -> dict[str, Any]:
    return {
        "symbol": name, "status": "TRADING", "baseAsset": base, "baseAssetPrecision": 8,
        "quoteAsset": quote, "quotePrecision": 8, "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET", "STOP_LOSS_LIMIT"], "icebergAllowed": True,
        "isSpotTradingAllowed": True, "isMarginTradingAllowed": False,
        "permissions": ["SPOT"], "permissionSets": [["SPOT"]],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000",
             "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000",
             "stepSize": "0.00001"},
            {"filterType": "NOTIONAL", "minNotional": "5.0", "applyMinToMarket": True,
             "maxNotional": "9000000", "applyMaxToMarket": False, "avgPriceMins": 5},
        ],
    }  # fmt: skip


def _answers(body: Any) -> Any:
    async def handler(_request: web.Request) -> web.Response:
        return web.json_response(body)

    return handler


async def _time(_request: web.Request) -> web.Response:
    return web.json_response({"serverTime": now()})


def control(exchange: Exchange) -> web.Application:
    """Return the control port's application."""

    async def mode(request: web.Request) -> web.Response:
        await exchange.change(await request.text())
        return web.Response(text=exchange.mode)

    async def price(request: web.Request) -> web.Response:
        exchange.price = float(await request.text())
        return web.Response(text=str(exchange.price))

    async def asked(_request: web.Request) -> web.Response:
        return web.json_response(exchange.asked)

    served = web.Application()
    served.router.add_post("/mode", mode)
    served.router.add_post("/price", price)
    served.router.add_get("/asked", asked)
    return served


async def _serve(port: int, control_port: int) -> None:
    exchange = Exchange(port)
    await exchange.open()
    runner = web.AppRunner(control(exchange), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", control_port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
