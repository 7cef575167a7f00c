"""A Freqtrade that answers as its documented API does, and as badly as a test says."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from trading_ops import clock
from trading_ops.exporter.config import FreqtradeEntry

USER, PASSWORD = "freqtrader", "a:secret"
TIMEFRAME = 60.0
PAIRS = ["BTC/USDT", "ETH/USDT"]
EVERYTHING = "*"
AGAIN = "again"
_ORDERS = {"pause": "paused", "start": "running", "stop": "stopped", "reload_config": None}
EXCHANGE_LOGGER = "freqtrade.exchange.common"


class FakeFreqtrade:
    """The endpoints that are read. A test changes `answers`, or breaks some of them."""

    def __init__(self) -> None:
        now = clock.timestamp()
        self.started = now - 600
        self.looped = now - 3
        self.candle_opened = now - 90
        self.state = "running"
        self.locks: list[dict[str, Any]] = []
        self.closed: list[dict[str, Any]] = []
        """Closed trades, in the order in which they were opened."""

        self.log: list[list[Any]] = [_line(now - 500, "freqtrade.worker", "INFO", "heartbeat")]
        self.answers: dict[str, Any] = _steady()
        self.raw: dict[str, tuple[int, bytes]] = {}
        """Status and body that an endpoint answers instead."""

        self.hangs: set[str] = set()
        """Endpoints that never answer; `*` for all."""

        self.initial_state = "running"
        self.late = 0
        """How many readings of the state an order takes to have its effect."""

        self.deaf: set[str] = set()
        """Orders that are answered as if they were carried out, and are not."""

        self.errors: dict[str, int] = {}
        """HTTP status with which an order is answered; from 500 on it is carried out as well."""

        self.asked: list[str] = []
        self.under_way: list[str] = []
        """Requests that are being answered now."""

        self.together: set[frozenset[str]] = set()
        """Endpoints that were under way at the same time; more than one of the same is `again`."""

        self.takes = 0.0
        """Seconds that each answer takes."""

        self.queries: dict[str, dict[str, str]] = {}
        self.ws_token = "listen"
        self.sockets: list[web.WebSocketResponse] = []
        self.subscribed: list[list[str]] = []
        self._released = asyncio.Event()
        self._pending: tuple[int, str] | None = None

    def warn(self, count: int, at: float | None = None) -> None:
        """Write as many warnings of the exchange into the log."""
        moment = clock.timestamp() if at is None else at
        self.log += [
            _line(moment + number / 1000, EXCHANGE_LOGGER, "WARNING", "fetch_ticker() returned")
            for number in range(count)
        ]

    def lock(self, pair: str, *, ends_in: float, active: bool = True) -> None:
        """Place a lock."""
        end = clock.timestamp() + ends_in
        self.locks.append(
            {"id": len(self.locks) + 1, "active": active, "pair": pair, "side": "*",
             "lock_timestamp": int(clock.timestamp() * 1000),
             "lock_end_timestamp": int(end * 1000), "reason": "a test"}
        )  # fmt: skip

    def close(self, *, at: float, profit: float = 1.0, **more: Any) -> None:
        """Close a trade that was opened ten minutes before this time."""
        self.closed.append(
            {
                "trade_id": len(self.closed) + 1,
                "pair": "ETH/USDT",
                "base_currency": "ETH",
                "quote_currency": "USDT",
                "is_open": False,
                "is_short": False,
                "amount": 0.5,
                "open_rate": 2000.0,
                "open_timestamp": int((at - 600) * 1000),
                "close_rate": 2010.0,
                "close_timestamp": int(at * 1000),
                "close_profit": profit / 1000,
                "close_profit_abs": profit,
                "fee_open": 0.001,
                "fee_close": 0.001,
                "strategy": "SampleStrategy",
                "exit_reason": "roi",
                "orders": [],
                **more,
            }
        )

    def _trades(self, query: Mapping[str, str]) -> dict[str, Any]:
        limit, offset = int(query["limit"]), int(query["offset"])
        assert 0 < limit <= 500
        assert query["order_by_id"] == "false"
        newest_first = sorted(self.closed, key=lambda trade: -trade["close_timestamp"])
        page = newest_first[offset : offset + limit]
        counts = {"trades_count": len(page), "offset": offset, "total_trades": len(self.closed)}
        return {"trades": page, **counts}

    def thaw(self) -> None:
        """Let everything that hangs continue."""
        self.hangs.clear()
        self._released.set()
        self._released = asyncio.Event()

    def restart(self) -> None:
        """Die and start again: what is in the database stays, the state does not."""
        self.state = self.initial_state
        self.started += 5

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[str]:
        """Serve while the block runs; gives `host:port`."""
        application = web.Application(middlewares=[self._watch])
        application.router.add_get("/api/v1/message/ws", self._messages)
        application.router.add_get("/api/v1/{endpoint:.*}", self._answer)
        application.router.add_post("/api/v1/{endpoint:.*}", self._obey)
        application.router.add_delete("/api/v1/locks/{id}", self._unlock)
        server = TestServer(application, port=port)
        # A client that went away cancels its handler, as a server that threads away would not.
        async with server:
            yield f"{server.host}:{server.port}"
            self._released.set()

    @web.middleware
    async def _watch(self, request: web.Request, handler: Any) -> web.StreamResponse:
        endpoint = request.match_info.get("endpoint", request.path)
        if self.under_way:
            more = {AGAIN} if endpoint in self.under_way else set[str]()
            self.together.add(frozenset({*self.under_way, endpoint, *more}))
        self.under_way.append(endpoint)
        try:
            await asyncio.sleep(self.takes)
            answer: web.StreamResponse = await handler(request)
            return answer
        finally:
            self.under_way.remove(endpoint)

    async def tell(self, kind: str, **more: Any) -> None:
        """Send a message to anyone who listens."""
        for socket in self.sockets:
            await socket.send_json({"type": kind, **more})

    async def hang_up(self, code: int = 1012) -> None:
        """Close what listens; a reload does that."""
        for socket in self.sockets:
            await socket.close(code=code)

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        if self.hangs & {"message/ws", EVERYTHING}:
            await self._released.wait()
        if "message/ws" in self.raw:
            status, body = self.raw["message/ws"]
            return web.Response(status=status, body=body)
        if request.query.get("token") != self.ws_token:
            return web.Response(status=403)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        try:
            async for message in socket:
                asked = message.json()
                assert asked["type"] == "subscribe"
                self.subscribed.append(asked["data"])
        finally:
            self.sockets.remove(socket)
        return socket

    async def _obey(self, request: web.Request) -> web.StreamResponse:
        order = request.match_info["endpoint"]
        self.asked.append(order)
        if not _authorized(request):
            return web.json_response({"detail": "Unauthorized"}, status=401)
        status = self.errors.get(order, 200)
        if order not in self.deaf and (status == 200 or status >= 500):
            if order == "locks":
                self._lock_pairs(await request.json())
            elif order in _ORDERS:
                self._pending = (self.late, order)
                self._take_effect()
        return web.json_response(
            {"status": "as you say", "error": "no active trade"}, status=status
        )

    async def _unlock(self, request: web.Request) -> web.StreamResponse:
        wanted = int(request.match_info["id"])
        for lock in self.locks:
            if lock["id"] == wanted and "unlock" not in self.deaf:
                lock["active"] = False
        return web.json_response({"lock_count": 0, "locks": []})

    def _lock_pairs(self, locks: list[dict[str, Any]]) -> None:
        for lock in locks:
            end = datetime.fromisoformat(lock["until"])
            assert end.tzinfo is not None
            assert len(lock["reason"]) <= 255
            self.lock(lock["pair"], ends_in=end.timestamp() - clock.timestamp())
            self.locks[-1]["reason"] = lock["reason"]

    def _take_effect(self) -> None:
        """Bring a pending order nearer to its effect; called at each reading of the state."""
        if self._pending is None:
            return
        left, order = self._pending
        self._pending = (left - 1, order) if left else None
        if not left:
            if order == "reload_config":
                self.restart()
            self.state = _ORDERS[order] or self.initial_state

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        endpoint = request.match_info["endpoint"]
        self.asked.append(endpoint)
        self.queries[endpoint] = dict(request.query)
        if self.hangs & {endpoint, EVERYTHING}:
            await self._released.wait()
        if endpoint != "ping" and not _authorized(request):
            return web.json_response({"detail": "Unauthorized"}, status=401)
        if endpoint in self.raw:
            status, body = self.raw[endpoint]
            return web.Response(status=status, body=body, headers={"Location": "/api/v1/elsewhere"})
        if endpoint in {"show_config", "health"}:
            self._take_effect()
        if endpoint == "count" and self.state == "stopped":
            reason = "Error querying /api/v1/count: trader is not running"
            return web.json_response({"error": reason}, status=502)
        if endpoint == "trades":
            return web.json_response(self._trades(request.query))
        found = (self.answers | self._moving()).get(endpoint)
        if found is None:
            return web.json_response({"detail": "Not Found"}, status=404)
        return web.json_response(found)

    def _moving(self) -> dict[str, Any]:
        """Return what depends on the time, and on what a test did."""
        return {
            "health": {
                "last_process": "2026-01-01T00:00:00+00:00",
                "last_process_ts": int(self.looped),
                "bot_start_ts": 1_600_000_000,
                "bot_startup_ts": int(self.started),
            },
            "show_config": self.answers["show_config"] | {"state": self.state},
            "locks": {"lock_count": len(self.locks), "locks": self.locks},
            "logs": {"log_count": len(self.log), "logs": self.log[-500:]},
            "pair_candles": {
                "pair": "BTC/USDT",
                "length": 1,
                "last_analyzed_ts": int(clock.timestamp()),
                "data_stop_ts": int(self.candle_opened * 1000),
            },
        }


def entry(
    folder: Path, address: str, *, name: str = "freq", password: str = PASSWORD, ws_token: str = ""
) -> Any:
    """Return an entry of the exporter's configuration, with its files of credentials."""
    file = folder / f"freqtrade_{name}"
    file.write_text(f"{USER}:{password}\n")
    if not ws_token:
        return FreqtradeEntry(name, address, file)
    token_file = folder / f"freqtrade_{name}.ws_token"
    token_file.write_text(f"{ws_token}\n")
    return FreqtradeEntry(name, address, file, token_file)


def _authorized(request: web.Request) -> bool:
    expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return request.headers.get("Authorization") == f"Basic {expected}"


def _line(at: float, logger: str, level: str, message: str) -> list[Any]:
    return ["2026-01-01 00:00:00", at * 1000, logger, level, message]


def _steady() -> dict[str, Any]:
    order = {"order_id": "1", "status": "closed", "is_open": False, "ft_order_side": "buy",
             "remaining": 0.001, "safe_price": 50_000.0}  # fmt: skip
    return {
        "ping": {"status": "pong"},
        "show_config": {
            "version": "2026.9",
            "api_version": 2.50,
            "dry_run": True,
            "runmode": "dry_run",
            "exchange": "binance",
            "strategy": "SampleStrategy",
            "timeframe": "1m",
            "timeframe_ms": int(TIMEFRAME * 1000),
            "stake_currency": "USDT",
            "max_open_trades": 3,
        },
        "count": {"current": 2, "max": 3, "total_stake": 199.5},
        "status": [
            {"trade_id": 1, "pair": "BTC/USDT", "is_short": False, "amount": 0.002,
             "stake_amount": 99.5, "current_rate": 49_000.0, "profit_abs": -2.2,
             "orders": [order, order | {"is_open": True}]},
            {"trade_id": 2, "pair": "SOL/USDT", "is_short": True, "amount": 1.5,
             "stake_amount": 100.0, "current_rate": 60.0, "profit_abs": None,
             "orders": [order]},
        ],
        "profit": {
            "profit_closed_coin": 12.5, "profit_all_coin": 10.0, "closed_trade_count": 7,
            "profit_factor": None, "max_drawdown": 0.2, "current_drawdown": 0.05,
            "winning_trades": 4, "latest_trade_timestamp": 1_700_000_000_000,
        },
        "balance": {
            "currencies": [
                {"currency": "USDT", "balance": 800.0, "free": 700.0, "est_stake": 800.0},
                {"currency": "BTC", "balance": 0.002, "free": 0.0, "est_stake": 98.0},
            ],
            "total": 5000.0, "total_bot": 1010.0, "stake": "USDT", "starting_capital": 990.0,
        },
        "daily": {"data": [{"date": "2026-01-02", "abs_profit": -4.5, "trade_count": 2},
                           {"date": "2026-01-01", "abs_profit": 9.0, "trade_count": 1}]},
        "whitelist": {"whitelist": PAIRS, "length": 2, "method": ["StaticPairList"]},
    }  # fmt: skip
