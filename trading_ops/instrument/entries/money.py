"""Positions, balances and profit."""

from trading_ops.instrument.entries.kinds import bot_counter, bot_gauge
from trading_ops.instrument.metric import Metric

BALANCE_SOURCES = ("websocket", "rest", "last_good")

MONEY: tuple[Metric, ...] = (
    bot_gauge(
        name="trading_position",
        labels=("symbol",),
        help="Position that the bot holds, in units of the symbol's base currency.",
        why="Exposure: what a halt leaves open.",
    ),
    bot_gauge(
        name="trading_balance",
        labels=("currency",),
        help="Balance at the venue, in units of the currency.",
        why="Falls without trades: somebody else uses the account.",
    ),
    bot_gauge(
        name="trading_equity",
        labels=("currency",),
        help="Balances and positions at current prices, in units of the currency.",
        why="Drawdown is measured on it.",
    ),
    bot_gauge(
        name="trading_realized_pnl",
        labels=("currency",),
        help="Profit of closed positions after fees since the bot's records began.",
        why="The strategy's result; a steady fall is a reason to halt.",
    ),
    bot_gauge(
        name="trading_unrealized_pnl",
        labels=("currency",),
        help="Profit of open positions at current prices.",
        why="What closing now would add to the result.",
    ),
    bot_gauge(
        name="trading_balance_timestamp_seconds",
        unit="seconds",
        vital=True,
        help="Time at which the balances in use were read, since the epoch; absent until then.",
        why="Trading on an old balance spends money that is not there.",
    ),
    bot_gauge(
        name="trading_balance_source",
        labels=("source",),
        values={"source": BALANCE_SOURCES},
        help="1 for the source that the balances in use came from, 0 for the others.",
        why="On the last good ones the bot is blind to what happens at the venue.",
    ),
    bot_counter(
        name="trading_balance_contradictions_total",
        help="Times that the venue's feed told other balances than its REST answers, twice.",
        why="REST is believed then; many of them mean that the feed cannot be.",
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
                "trading_realized_pnl",
                "trading_risk_limit_used_ratio",
                "trading_unrealized_pnl",
            )
        },
        help="Amounts that were not exported because they were NaN or infinite, by metric.",
        why="The metric still shows the last amount; the bot's own limits may see the wrong one.",
    ),
)
