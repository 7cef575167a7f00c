"""The parts of Freqtrade's responses that are used; API version 2.50.

Beware of the units: in /health, fields ending in `_ts` are in seconds; all other timestamps are in
milliseconds. Unknown fields are ignored; a missing field makes the reading fail.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from trading_ops import clock
from trading_ops.errors import ClientError

LABEL_LENGTH = 64
AHEAD_SECONDS = 60.0
"""A timestamp further in the future than this is invalid: Freqtrade runs on this host."""


class Ping(msgspec.Struct, frozen=True):
    """GET /ping: the API's thread is alive. It does not show whether the bot trades."""

    status: Literal["pong"]


class HealthAnswer(msgspec.Struct, frozen=True):
    """GET /health: all null until the first complete loop."""

    last_process_ts: float | None
    """End of the last loop, in seconds."""

    bot_startup_ts: float | None
    """The last start or reload, in seconds. (`bot_start_ts` is the first one ever.)"""


class Config(msgspec.Struct, frozen=True):
    """GET /show_config."""

    version: str
    dry_run: bool
    state: Literal["running", "paused", "stopped", "reload_config"]
    exchange: str
    stake_currency: str
    timeframe_ms: float
    timeframe: str | None = None
    strategy: str | None = None
    trading_mode: str = "spot"
    max_open_trades: float | None = None
    """-1 or null: no limit."""


class Count(msgspec.Struct, frozen=True):
    """GET /count: from the database alone, so it is quick."""

    current: int
    total_stake: float
    """In the stake currency."""


class FreqtradeOrder(msgspec.Struct, frozen=True):
    """One order of a trade."""

    is_open: bool
    ft_order_side: str = ""
    """`buy` or `sell`."""

    remaining: float | None = None
    safe_price: float | None = None


class OpenTrade(msgspec.Struct, frozen=True):
    """One open trade of GET /status, which queries the exchange for prices."""

    pair: str
    is_short: bool
    amount: float
    """In the base currency; positive for shorts as well."""

    stake_amount: float
    current_rate: float | None = None
    """Price of one unit, in the stake currency; null if the exchange did not report it."""

    profit_abs: float | None = None
    """Unrealized profit after fees, in the stake currency; null without a price."""

    orders: tuple[FreqtradeOrder, ...] = ()


class Profit(msgspec.Struct, frozen=True):
    """GET /profit: in the stake currency; drawdown as a ratio, of closed trades."""

    profit_closed_coin: float
    profit_all_coin: float
    closed_trade_count: int
    max_drawdown: float
    current_drawdown: float | None = None
    winning_trades: int | None = None
    latest_trade_timestamp: float = 0.0
    """In milliseconds; 0: none."""


class FreqtradeCurrency(msgspec.Struct, frozen=True):
    """One currency of the balance."""

    currency: str
    balance: float
    est_stake: float = 0.0
    """Its value in the stake currency; 0 if the exchange does not report its price."""

    is_bot_managed: bool = False
    used: float = 0.0
    """Reserved by open orders; with futures also by positions."""


class FreqtradeBalance(msgspec.Struct, frozen=True):
    """GET /balance."""

    currencies: tuple[FreqtradeCurrency, ...]
    total_bot: float
    """The part the bot manages, in the stake currency; `total` includes other money.

    It does not include the bot's open entry orders.
    """

    starting_capital: float | None = None


class Day(msgspec.Struct, frozen=True):
    """One day; row 0 is today."""

    abs_profit: float


class Daily(msgspec.Struct, frozen=True):
    """GET /daily."""

    data: tuple[Day, ...]


class Lock(msgspec.Struct, frozen=True):
    """One lock; pair `*` is the global one."""

    active: bool
    pair: str
    lock_end_timestamp: float
    """In milliseconds."""


class Locks(msgspec.Struct, frozen=True):
    """GET /locks."""

    locks: tuple[Lock, ...]


class Whitelist(msgspec.Struct, frozen=True):
    """GET /whitelist."""

    whitelist: tuple[str, ...]


class Candles(msgspec.Struct, frozen=True):
    """GET /pair_candles."""

    data_stop_ts: float
    """Open time of the newest candle, in milliseconds; 0: none."""

    last_analyzed_ts: float = 0.0
    """When the strategy last analyzed the candles, in seconds; 0: never."""


class LogLines(msgspec.Struct, frozen=True):
    """GET /logs: the newest lines, oldest first: date, milliseconds, logger, level, message."""

    logs: tuple[tuple[str, float, str, str, str], ...]


def check_moment(path: str, moment: float | None) -> None:
    """Reject an impossible time: a future one would hide an outage until then.

    Raises:
        ClientError: it is negative, or in the future.
    """
    if moment is not None and not 0 <= moment <= clock.timestamp() + AHEAD_SECONDS:
        raise ClientError(f"{path}: invalid timestamp {moment:g}")


def check_labels(path: str, values: Iterable[str]) -> None:
    """Reject invalid names of pairs or currencies.

    Raises:
        ClientError: one is empty, very long, or not printable.
    """
    for value in values:
        if not value or len(value) > LABEL_LENGTH or not value.isprintable():
            raise ClientError(f"{path}: invalid name {value[:LABEL_LENGTH]!r}")
