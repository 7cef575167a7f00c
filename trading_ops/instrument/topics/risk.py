"""The bot's risk limits, losses and exposure."""

import math
from typing import TYPE_CHECKING

from trading_ops.instrument.children import Counter
from trading_ops.instrument.family import Family
from trading_ops.instrument.metric import Metric, bot_counter, bot_gauge
from trading_ops.instrument.recording import put

if TYPE_CHECKING:
    from trading_ops.instrument.recorder import Recorder

LIMITS = (
    "position_size",
    "open_positions",
    "exposure",
    "daily_loss",
    "total_drawdown",
    "order_rate",
    "price_collar",
    "market_data_age",
    "balance_age",
)

RISK: tuple[Metric, ...] = (
    bot_gauge(
        name="trading_risk_limit_used_ratio",
        unit="ratio",
        labels=("limit",),
        vital=True,
        help="Usage of a risk limit: 1 is the limit; absent before the first check.",
        why="Near 1 the bot is about to be limited; above 1 a check failed or was too late.",
    ),
    bot_counter(
        name="trading_risk_breaches_total",
        labels=("limit",),
        values={"limit": LIMITS},
        help="Breaches of a risk limit, found before an order or between orders.",
        why="Each one set the bot to reducing or halted, or denied an order.",
    ),
    bot_gauge(
        name="trading_daily_loss",
        labels=("currency",),
        vital=True,
        help="Loss since the start of the trading day, including open positions; 0 in profit.",
        why="Compared with the daily loss limit.",
    ),
    bot_gauge(
        name="trading_drawdown",
        labels=("currency",),
        vital=True,
        help="Drawdown of equity from its peak, in units of the currency.",
        why="A new maximum drawdown means that the strategy behaves differently than before.",
    ),
    bot_gauge(
        name="trading_drawdown_ratio",
        unit="ratio",
        labels=("currency",),
        vital=True,
        help="Drawdown of equity as a ratio of its peak.",
        why="Comparable between bots and accounts.",
    ),
    bot_gauge(
        name="trading_exposure",
        labels=("currency",),
        vital=True,
        help="Gross exposure: absolute value of all open positions, in units of the currency.",
        why="The money at risk in a price jump.",
    ),
    bot_gauge(
        name="trading_open_positions",
        help="Number of symbols with an open position.",
        why="More than expected: an unintended position was opened.",
    ),
)


class RiskMetrics:
    """Records a bot's limits and losses; for refused amounts see `MoneyMetrics`."""

    _refused: Family[Counter]

    def risk_limit_used(self, limit: str, ratio: float) -> None:
        """Set the used share of a risk limit; 1 is the limit. Absent until set."""
        put(self._limit_used, limit, ratio, self._refused)

    def risk_limit_broken(self, limit: str) -> None:
        """Count a breach of a risk limit, found before an order or between orders."""
        self._breaches.labels(limit).value += 1

    def daily_loss(self, currency: str, amount: float) -> None:
        """Set the loss since the start of the trading day; a profit counts as zero."""
        put(self._daily_loss, currency, _no_less(amount), self._refused)

    def drawdown(self, currency: str, amount: float, *, highest: float | None = None) -> None:
        """Set the drawdown of equity from its peak.

        Args:
            currency: of the amounts.
            amount: of the drawdown; below zero counts as zero.
            highest: the peak; the ratio is exported only if it is given and above zero.
        """
        amount = _no_less(amount)
        put(self._drawdown, currency, amount, self._refused)
        if highest is not None and highest > 0:
            put(self._drawdown_ratio, currency, amount / highest, self._refused)

    def exposure(self, currency: str, amount: float) -> None:
        """Set the total value of open positions, regardless of their sign."""
        put(self._exposure, currency, amount, self._refused)

    def open_positions(self, count: int) -> None:
        """Set the number of symbols with an open position."""
        self._open_positions.labels().value = count

    def _register_risk(
        self, recorder: "Recorder", currencies: tuple[str, ...], limits: tuple[str, ...]
    ) -> None:
        by_limit, by_currency = {"limit": limits}, {"currency": currencies}
        self._limit_used = recorder.gauge("trading_risk_limit_used_ratio", by_limit, at_once=False)
        self._breaches = recorder.counter("trading_risk_breaches_total", by_limit)
        self._daily_loss = recorder.gauge("trading_daily_loss", by_currency, at_once=False)
        self._drawdown = recorder.gauge("trading_drawdown", by_currency, at_once=False)
        self._drawdown_ratio = recorder.gauge("trading_drawdown_ratio", by_currency, at_once=False)
        self._exposure = recorder.gauge("trading_exposure", by_currency, at_once=False)
        self._open_positions = recorder.gauge("trading_open_positions", at_once=False)


def _no_less(amount: float) -> float:
    """Return the amount, at least zero; an amount that is not finite stays, to be refused."""
    return 0.0 if -math.inf < amount < 0 else amount
