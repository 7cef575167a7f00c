"""One Freqtrade: what is asked of it, how often, and for how long an answer is awaited."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import aiohttp

from trading_ops import clock
from trading_ops.errors import ClientError
from trading_ops.exporter.collector import Watched
from trading_ops.exporter.config import FreqtradeEntry
from trading_ops.exporter.freqtrade import answers
from trading_ops.exporter.freqtrade.api import Api
from trading_ops.exporter.freqtrade.reading import Reading
from trading_ops.exporter.freqtrade.trouble import Trouble

T = TypeVar("T")

WATCHED_PAIRS = 10
"""The first ones of the whitelist stand for all: a feed that is silent is so for each of them."""

LOG_LINES = 500
CANDLES_WITHIN = 2.0
LABEL_LENGTH = 64
AHEAD_SECONDS = 60.0
"""Freqtrade is on this host: a time stamp further in the future than this is a mistake."""


class FreqtradeBot:
    """The readings of one Freqtrade, each a collector of its own."""

    def __init__(self, entry: FreqtradeEntry, session: aiohttp.ClientSession) -> None:
        """Take the entry and a session that only this bot's readings use."""
        self.name = entry.name
        self.trouble = Trouble()
        self.candles_opened: dict[str, float] = {}
        """Opening of each watched pair's newest candle; when it was first asked for until then."""

        self.watched: list[Watched] = []
        self._api = Api(entry.address, entry.credentials_file, session)
        add = self._add
        self.ping = add("ping", self._ping, every=1.0, within=1.0)
        self.health = add("health", self._health, every=1.0, within=1.0)
        self.config = add("show_config", self._config, every=2.0, within=2.0)
        self.locks = add("locks", self._locks, every=2.0, within=2.0)
        self.count = add("count", self._simple("/count", answers.Count, 2.0), every=5.0, within=2.0)
        self.logs = add("logs", self._logs, every=5.0, within=4.0)
        self.candles = add("pair_candles", self._candles, every=5.0, within=5.0)
        # These ask the exchange, or go through all trades; with an exchange that throttles they
        # take 15 s and more, and each of them keeps a thread of Freqtrade busy meanwhile.
        self.trades = add("status", self._trades, every=15.0, within=10.0)
        self.profit = add(
            "profit", self._simple("/profit", answers.Profit, 10.0), every=15.0, within=10.0
        )
        self.balance = add("balance", self._balance, every=60.0, within=20.0)
        self.daily = add("daily", self._daily, every=60.0, within=10.0)

    @property
    def is_alive(self) -> bool:
        """Whether somebody answered the last ping: the process lives, whatever else is wrong."""
        return self.ping.fresh is not None

    def _add(
        self, endpoint: str, ask: Callable[[], Awaitable[T]], *, every: float, within: float
    ) -> Reading[T]:
        reading = Reading(
            f"freqtrade:{self.name}:{endpoint}",
            ask,
            interval_seconds=every,
            timeout_seconds=within,
        )
        self.watched.append(Watched(reading))
        return reading

    def _simple(self, path: str, kind: type[T], within: float) -> Callable[[], Awaitable[T]]:
        return lambda: self._api.get(path, kind, within=within)

    async def _ping(self) -> answers.Ping:
        return await self._api.get("/ping", answers.Ping, within=1.0, public=True)

    async def _health(self) -> answers.Health:
        health = await self._api.get("/health", answers.Health, within=1.0)
        for moment in (health.last_process_ts, health.bot_startup_ts):
            check_moment("/health", moment)
        return health

    async def _config(self) -> answers.Config:
        config = await self._api.get("/show_config", answers.Config, within=2.0)
        check_labels("/show_config", (config.version, config.exchange, config.stake_currency))
        check_labels("/show_config", filter(None, (config.strategy, config.timeframe)))
        if config.timeframe_ms <= 0:
            raise ClientError(f"/show_config: timeframe_ms is {config.timeframe_ms}")
        return config

    async def _locks(self) -> answers.Locks:
        return await self._api.get("/locks", answers.Locks, within=2.0)

    async def _trades(self) -> tuple[answers.Trade, ...]:
        trades = await self._api.get("/status", tuple[answers.Trade, ...], within=10.0)
        check_labels("/status", (trade.pair for trade in trades))
        return trades

    async def _balance(self) -> answers.Balance:
        balance = await self._api.get("/balance", answers.Balance, within=20.0)
        check_labels("/balance", (money.currency for money in balance.currencies))
        return balance

    async def _daily(self) -> answers.Daily:
        daily = await self._api.get("/daily", answers.Daily, within=10.0, params={"timescale": "1"})
        if not daily.data:
            raise ClientError("/daily: there is no row for today")
        return daily

    async def _logs(self) -> answers.LogLines:
        lines = await self._api.get(
            "/logs", answers.LogLines, within=4.0, params={"limit": str(LOG_LINES)}
        )
        for line in lines.logs:
            check_moment("/logs", line[1] / 1000)
        self.trouble.see(lines.logs)
        return lines

    async def _candles(self) -> float:
        """Ask for the newest candle of each watched pair; return a timeframe's seconds."""
        config = await self._api.get("/show_config", answers.Config, within=CANDLES_WITHIN)
        listed = await self._api.get("/whitelist", answers.Whitelist, within=CANDLES_WITHIN)
        pairs = listed.whitelist[:WATCHED_PAIRS]
        check_labels("/whitelist", pairs)
        now = clock.timestamp()
        self.candles_opened = {pair: self.candles_opened.get(pair, now) for pair in pairs}
        for pair in pairs:
            candles = await self._api.get(
                "/pair_candles",
                answers.Candles,
                within=CANDLES_WITHIN,
                params={"pair": pair, "timeframe": config.timeframe or "", "limit": "1"},
            )
            check_moment("/pair_candles", candles.data_stop_ts / 1000)
            if candles.data_stop_ts:
                self.candles_opened[pair] = candles.data_stop_ts / 1000
        return config.timeframe_ms / 1000


def check_moment(path: str, moment: float | None) -> None:
    """Refuse a time that cannot be: it would hide an outage for as long as it lies ahead.

    Raises:
        ClientError: it is negative, or in the future.
    """
    if moment is not None and not 0 <= moment <= clock.timestamp() + AHEAD_SECONDS:
        raise ClientError(f"{path}: {moment:g} is no time stamp of the past")


def check_labels(path: str, values: Iterable[str]) -> None:
    """Refuse what cannot be the name of a pair or a currency.

    Raises:
        ClientError: one is empty, very long, or not printable.
    """
    for value in values:
        if not value or len(value) > LABEL_LENGTH or not value.isprintable():
            raise ClientError(f"{path}: {value[:LABEL_LENGTH]!r} is no name")
