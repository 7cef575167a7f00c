"""The bot's own limits: how much of each is used, and what is lost."""

from trading_ops.instrument.entries.kinds import bot_counter, bot_gauge
from trading_ops.instrument.metric import Metric

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
        help="Use of a risk limit: 0 unused, 1 reached; absent until first checked.",
        why="Near 1 the bot is about to be held back; above 1 a check was passed or came too late.",
    ),
    bot_counter(
        name="trading_risk_breaches_total",
        labels=("limit",),
        values={"limit": LIMITS},
        help="Times that a risk limit was found broken, before an order or between orders.",
        why="Each one moved the bot to reducing or halted, or denied an order.",
    ),
    bot_gauge(
        name="trading_daily_loss",
        labels=("currency",),
        vital=True,
        help="Loss since the trading day began, open positions included; 0 in profit.",
        why="The limit that ends a bad day before it becomes a bad week.",
    ),
    bot_gauge(
        name="trading_drawdown",
        labels=("currency",),
        vital=True,
        help="Fall of the equity from its highest point so far, in units of the currency.",
        why="The loss that the strategy has never had before is the one that matters.",
    ),
    bot_gauge(
        name="trading_drawdown_ratio",
        unit="ratio",
        labels=("currency",),
        vital=True,
        help="Fall of the equity from its highest point so far, as a share of that point.",
        why="Comparable between bots and accounts.",
    ),
    bot_gauge(
        name="trading_exposure",
        labels=("currency",),
        vital=True,
        help="Value of all open positions without regard to their sign, in units of the currency.",
        why="The money that a jump in price can take.",
    ),
    bot_gauge(
        name="trading_open_positions",
        help="Symbols in which a position is open.",
        why="More than were meant to be held at once: something opened what it should not have.",
    ),
)
