"""One Freqtrade: which endpoints are read, how often, and with which timeout."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp
from prometheus_client.metrics_core import Metric

from trading_ops import clock
from trading_ops.errors import ClientError
from trading_ops.exporter.collector import PolledSource
from trading_ops.exporter.config import FreqtradeEntry
from trading_ops.exporter.freqtrade import answers
from trading_ops.exporter.freqtrade.answers import check_labels, check_moment
from trading_ops.exporter.freqtrade.api import Api
from trading_ops.exporter.freqtrade.exchange_errors import ExchangeErrors
from trading_ops.exporter.freqtrade.listener import Listener
from trading_ops.exporter.freqtrade.message_metrics import MessageMetrics
from trading_ops.exporter.freqtrade.reading import EndpointReading
from trading_ops.exporter.freqtrade.reloads import Reloads
from trading_ops.exporter.freqtrade.triggered import RequestBudget, TriggeredReading
from trading_ops.instrument.families import family

T = TypeVar("T")

WATCHED_PAIRS = 10
"""Only the first pairs of the whitelist are watched: a dead feed affects all pairs."""

LOG_LINES = 500
WITHIN = 2.0
"""Timeout of a request that needs no exchange; one that waits for its turn waits longer."""

READ_WITHIN = 10.0
"""Timeout of a reading, with the wait for its turn."""

_CANDLES, _MONEY = ("pair_candles",), ("count", "status", "profit", "balance")
_STATE = ("show_config", "health", "locks", "count")
REFRESHED_BY = {
    "new_candle": _CANDLES,
    "status": _STATE,
    "startup": _STATE,
    "warning": ("logs",),
    "exception": ("logs", *_STATE),
    "protection_trigger": ("locks",),
    "protection_trigger_global": ("locks",),
    "entry": _MONEY,
    "entry_fill": _MONEY,
    "entry_cancel": _MONEY,
    "exit": _MONEY,
    "exit_fill": (*_MONEY, "daily"),
    "exit_cancel": _MONEY,
}
"""Endpoints that are read immediately after a message of this type."""


class FreqtradeBot:
    """The readings of one Freqtrade; each is a separate collector."""

    def __init__(self, entry: FreqtradeEntry, session: aiohttp.ClientSession) -> None:
        self.name = entry.name
        self.exchange_errors = ExchangeErrors()
        self.reloads = Reloads()
        self.candles_opened: dict[str, float] = {}
        """Open time of each watched pair's newest candle; until there is one, the time of the first
        request."""

        self.analyzed: dict[str, float] = {}
        """When the strategy last analyzed each watched pair."""

        self.equity: float | None = None
        """Funds that the bot manages, including its open entry orders, in the stake currency."""

        self.watched: list[PolledSource] = []
        self._triggered: dict[str, TriggeredReading] = {}
        self._budget = RequestBudget()
        self._api = Api(entry.address, entry.credentials_file, session)
        add = self._add
        self.ping = add("ping", self._ping, every=1.0, within=READ_WITHIN)
        self.health = add("health", self._health, every=1.0, within=READ_WITHIN)
        self.config = add("show_config", self._config, every=2.0, within=READ_WITHIN)
        self.locks = add("locks", self._locks, every=2.0, within=READ_WITHIN)
        self.count = add("count", self._count, every=5.0, within=READ_WITHIN)
        self.logs = add("logs", self._logs, every=5.0, within=READ_WITHIN)
        self.candles = add("pair_candles", self._candles, every=5.0, within=3 * READ_WITHIN)
        # These wait for each other, one request at a time.
        self.trades = add("status", self._trades, every=15.0, within=60.0)
        self.profit = add("profit", self._profit, every=15.0, within=60.0)
        self.balance = add("balance", self._balance, every=60.0, within=60.0)
        self.daily = add("daily", self._daily, every=60.0, within=60.0)
        self.messages: MessageMetrics | None = None
        if entry.ws_token_file is not None:
            self.messages = messages = MessageMetrics()
            self.watched.append(
                Listener(
                    f"freqtrade:{entry.name}:websocket",
                    entry.address,
                    entry.ws_token_file,
                    session,
                    lambda text: self._receive(messages, text),
                )
            )

    @property
    def is_alive(self) -> bool:
        """Return whether the last ping was answered, so the process is alive."""
        return self.ping.fresh is not None

    @property
    def is_stopped(self) -> bool:
        """Return whether its state is stopped: then it runs no loop and reads no candles."""
        return self.config.fresh is not None and self.config.fresh.state == "stopped"

    def _add(
        self, endpoint: str, ask: Callable[[], Awaitable[T]], *, every: float, within: float
    ) -> EndpointReading[T]:
        reading = EndpointReading(
            f"freqtrade:{self.name}:{endpoint}",
            ask,
            interval_seconds=every,
            timeout_seconds=within,
            own_families=self._own_figures if endpoint == "ping" else tuple,
        )
        requests = WATCHED_PAIRS + 2 if endpoint == "pair_candles" else 1
        self._triggered[endpoint] = TriggeredReading(reading, self._budget, requests=requests)
        self.watched.append(self._triggered[endpoint])
        return reading

    def _own_figures(self) -> tuple[Metric, ...]:
        name = "trading_exporter_freqtrade_requests_total"
        return (family(name, {(self.name,): self._api.requests}),)

    def _receive(self, messages: MessageMetrics, text: str) -> None:
        kind = messages.add(
            text,
            clock.timestamp(),
            timeframe=self.candles.last or 0.0,
            pairs=self.candles_opened.keys(),
        )
        for endpoint in REFRESHED_BY.get(kind, ()):
            self._triggered[endpoint].trigger()

    async def _ping(self) -> answers.Ping:
        return await self._api.ping(answers.Ping, within=1.0)

    async def _health(self) -> answers.HealthAnswer:
        health = await self._api.get("/health", answers.HealthAnswer, within=WITHIN)
        for moment in (health.last_process_ts, health.bot_startup_ts):
            check_moment("/health", moment)
        if (
            self.health.last is not None
            and health.bot_startup_ts != self.health.last.bot_startup_ts
        ):
            self._triggered["logs"].trigger()  # they show whether it was a reload
        return health

    async def _config(self) -> answers.Config:
        config = await self._api.get("/show_config", answers.Config, within=WITHIN)
        check_labels("/show_config", (config.version, config.exchange, config.stake_currency))
        check_labels("/show_config", filter(None, (config.strategy, config.timeframe)))
        if config.timeframe_ms <= 0:
            raise ClientError(f"/show_config: timeframe_ms is {config.timeframe_ms}")
        return config

    async def _count(self) -> answers.Count | None:
        if self.is_stopped:  # it then returns 502
            return None
        return await self._api.get("/count", answers.Count, within=WITHIN)

    async def _locks(self) -> answers.Locks:
        return await self._api.get("/locks", answers.Locks, within=WITHIN)

    async def _trades(self) -> tuple[answers.OpenTrade, ...]:
        trades = await self._api.get("/status", tuple[answers.OpenTrade, ...], within=10.0)
        check_labels("/status", (trade.pair for trade in trades))
        return trades

    async def _profit(self) -> answers.Profit:
        return await self._api.get("/profit", answers.Profit, within=10.0)

    async def _balance(self) -> answers.FreqtradeBalance:
        balance = await self._api.get("/balance", answers.FreqtradeBalance, within=20.0)
        check_labels("/balance", (money.currency for money in balance.currencies))
        self.equity = await self._equity(balance)
        return balance

    async def _equity(self, balance: answers.FreqtradeBalance) -> float | None:
        """Return the equity of the bot, None if it is unknown.

        While the exchange is unreachable, Freqtrade reports its holdings as worthless.
        """
        if any(
            money.is_bot_managed and money.balance and not money.est_stake
            for money in balance.currencies
        ):
            return None
        resting = await self._resting(balance)
        return None if resting is None else balance.total_bot + resting

    async def _resting(self, balance: answers.FreqtradeBalance) -> float | None:
        """Return the value of the bot's open entry orders, None if it is unknown.

        Freqtrade counts it neither as free nor as held, so every entry order that is not filled
        immediately would look like a loss of the whole stake.
        """
        config = self.config.last
        if config is None or config.trading_mode != "spot":
            return 0.0  # for futures the collateral of a position is reported instead
        tied = [
            money.used for money in balance.currencies if money.currency == config.stake_currency
        ]
        if not sum(tied):
            return 0.0
        try:
            trades = await self._api.get("/status", tuple[answers.OpenTrade, ...], within=8.0)
        except ClientError:
            return None
        own = sum(
            (order.remaining or 0.0) * (order.safe_price or 0.0)
            for trade in trades
            for order in trade.orders
            if order.is_open and order.ft_order_side == "buy"
        )
        return min(sum(tied), own)  # other clients may trade on the same account

    async def _daily(self) -> answers.Daily:
        daily = await self._api.get("/daily", answers.Daily, within=10.0, params={"timescale": "1"})
        if not daily.data:
            raise ClientError("/daily: missing row for today")
        return daily

    async def _logs(self) -> answers.LogLines:
        lines = await self._api.get(
            "/logs", answers.LogLines, within=WITHIN, params={"limit": str(LOG_LINES)}
        )
        for line in lines.logs:
            check_moment("/logs", line[1] / 1000)
        self.exchange_errors.add(lines.logs)
        health = self.health.last
        self.reloads.see(lines.logs, None if health is None else health.bot_startup_ts)
        return lines

    async def _candles(self) -> float:
        """Read the newest candle of each watched pair; return the timeframe in seconds."""
        config = await self._api.get("/show_config", answers.Config, within=WITHIN)
        listed = await self._api.get("/whitelist", answers.Whitelist, within=WITHIN)
        pairs = listed.whitelist[:WATCHED_PAIRS]
        check_labels("/whitelist", pairs)
        now = clock.timestamp()
        self.candles_opened = {pair: self.candles_opened.get(pair, now) for pair in pairs}
        self.analyzed = {pair: at for pair, at in self.analyzed.items() if pair in pairs}
        for pair in pairs:
            candles = await self._api.get(
                "/pair_candles",
                answers.Candles,
                within=WITHIN,
                params={"pair": pair, "timeframe": config.timeframe or "", "limit": "1"},
            )
            check_moment("/pair_candles", candles.data_stop_ts / 1000)
            check_moment("/pair_candles", candles.last_analyzed_ts)
            if candles.data_stop_ts:
                self.candles_opened[pair] = candles.data_stop_ts / 1000
            if candles.last_analyzed_ts:
                self.analyzed[pair] = candles.last_analyzed_ts
        return config.timeframe_ms / 1000
