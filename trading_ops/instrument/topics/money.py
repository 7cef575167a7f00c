"""Positions, balances and profit."""

import time
from typing import TYPE_CHECKING

from trading_ops.instrument.metric import Metric, bot_counter, bot_gauge
from trading_ops.instrument.recording import only, put

if TYPE_CHECKING:
    from trading_ops.instrument.recorder import Recorder

BALANCE_SOURCES = ("websocket", "rest", "last_good")

MONEY: tuple[Metric, ...] = (
    bot_gauge(
        name="trading_position",
        labels=("symbol",),
        help="Position of the bot, in units of the symbol's base currency.",
        why="Exposure that stays open after a halt.",
    ),
    bot_gauge(
        name="trading_balance",
        labels=("currency",),
        help="Balance at the venue, in units of the currency.",
        why="A fall without trades: another client uses the account.",
    ),
    bot_gauge(
        name="trading_equity",
        labels=("currency",),
        help="Equity: balances and positions at current prices, in units of the currency.",
        why="The base for drawdown.",
    ),
    bot_gauge(
        name="trading_realized_pnl",
        labels=("currency",),
        help="Realized profit after fees, since the start of the bot's records.",
        why="The strategy's result; a steady decline is a reason to halt.",
    ),
    bot_gauge(
        name="trading_unrealized_pnl",
        labels=("currency",),
        help="Unrealized profit: open positions at current prices.",
        why="The profit or loss of closing now.",
    ),
    bot_gauge(
        name="trading_position_unrealized_pnl",
        labels=("symbol",),
        help="Unrealized profit of the position at the current price, in the symbol's quote "
        "currency.",
        why="Which position makes the loss.",
    ),
    bot_gauge(
        name="trading_balance_timestamp_seconds",
        unit="seconds",
        vital=True,
        help="Time at which the current balances were read, Unix time; absent before the first.",
        why="Trading on a stale balance spends money that does not exist.",
    ),
    bot_gauge(
        name="trading_balance_source",
        labels=("source",),
        values={"source": BALANCE_SOURCES},
        help="1 for the source of the current balances, 0 for the others.",
        why="On last_good the bot does not see changes at the venue.",
    ),
    bot_counter(
        name="trading_balance_contradictions_total",
        help="Balances of the venue's feed that REST contradicted twice.",
        why="The bot then uses REST; many contradictions mean that the feed is unreliable.",
    ),
    bot_counter(
        name="trading_values_refused_total",
        labels=("metric",),
        values={
            "metric": (
                "trading_balance",
                "trading_daily_loss",
                "trading_drawdown",
                "trading_drawdown_ratio",
                "trading_equity",
                "trading_exposure",
                "trading_position",
                "trading_position_unrealized_pnl",
                "trading_realized_pnl",
                "trading_risk_limit_used_ratio",
                "trading_unrealized_pnl",
            )
        },
        help="Values that were not exported because they were NaN or infinite, by metric.",
        why="The metric still has the last value; the bot's own limits may use the wrong one.",
    ),
)


class MoneyMetrics:
    """Records a bot's positions, balances and profit."""

    def position(self, symbol: str, quantity: float) -> None:
        """Set the position in units of the symbol's base currency."""
        put(self._position, symbol, quantity, self._refused)

    def position_profit(self, symbol: str, unrealized: float) -> None:
        """Set the position's unrealized profit at the current price, in the quote currency."""
        put(self._position_unrealized, symbol, unrealized, self._refused)

    def balance(self, currency: str, amount: float) -> None:
        """Set the balance in units of the currency."""
        put(self._balance, currency, amount, self._refused)

    def balances_read(self, source: str, at: float | None = None) -> None:
        """Record the source and time of the balances in use.

        Args:
            source: websocket, rest or last_good.
            at: when they were read, also for `last_good`; seconds since the epoch, None: now.
        """
        only(self._balance_source, source)
        self._balance_time.labels().value = time.time() if at is None else at

    def balances_contradicted(self) -> None:
        """Count balances of the venue's feed that its REST API contradicts."""
        self._contradictions.value += 1

    def equity(self, currency: str, amount: float) -> None:
        """Set the value of balances and positions at current prices."""
        put(self._equity, currency, amount, self._refused)

    def profit(self, currency: str, *, realized: float, unrealized: float) -> None:
        """Set realized profit, and unrealized profit at current prices."""
        put(self._realized, currency, realized, self._refused)
        put(self._unrealized, currency, unrealized, self._refused)

    def _register_money(
        self, recorder: "Recorder", symbols: tuple[str, ...], currencies: tuple[str, ...]
    ) -> None:
        by_symbol, by_currency = {"symbol": symbols}, {"currency": currencies}
        self._refused = recorder.counter("trading_values_refused_total")
        self._position = recorder.gauge("trading_position", by_symbol, at_once=False)
        self._position_unrealized = recorder.gauge(
            "trading_position_unrealized_pnl", by_symbol, at_once=False
        )
        self._balance = recorder.gauge("trading_balance", by_currency, at_once=False)
        self._equity = recorder.gauge("trading_equity", by_currency, at_once=False)
        self._realized = recorder.gauge("trading_realized_pnl", by_currency, at_once=False)
        self._unrealized = recorder.gauge("trading_unrealized_pnl", by_currency, at_once=False)
        self._balance_time = recorder.gauge("trading_balance_timestamp_seconds", at_once=False)
        self._contradictions = recorder.counter("trading_balance_contradictions_total").labels()
        self._balance_source = recorder.gauge("trading_balance_source", at_once=False)
