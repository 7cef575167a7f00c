"""Orders: how they end, why they are denied, how long they take."""

from trading_ops.instrument.entries.kinds import bot_counter, bot_gauge, bot_histogram
from trading_ops.instrument.metric import Metric

OUTCOMES = ("filled", "cancelled", "expired", "rejected", "denied")
DENIALS = (
    "trading_halted",
    "trading_reducing",
    "awaiting_holds",
    "market_data_stale",
    "below_minimum_size",
    "above_maximum_size",
    "stopping",
    "recovering",
    "not_leader",
    "paper_mode",
    "price_collar",
    "balance_stale",
    "risk_unknown",
    "risk_position_size",
    "risk_open_positions",
    "risk_exposure",
    "risk_order_rate",
)

# An order that takes what is there is filled within the objective of 1 s, one that rests in hours.
FILL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)

ORDERS: tuple[Metric, ...] = (
    bot_counter(
        name="trading_orders_total",
        labels=("outcome",),
        values={"outcome": OUTCOMES},
        exemplar="order_id",
        help="Orders by how they ended; denied ones never left the bot.",
        why="Rejections and denials where fills are expected mean that the bot does not trade.",
    ),
    bot_counter(
        name="trading_order_denials_total",
        labels=("code",),
        values={"code": DENIALS},
        exemplar="order_id",
        help="Orders that the bot's own gate denied, by reason.",
        why="Tells which guard holds the bot back.",
    ),
    bot_histogram(
        name="trading_order_duration_seconds",
        exemplar="order_id",
        help="Time from submitting an order to the venue's acknowledgement.",
        why="Slow acknowledgements come before lost ones.",
    ),
    bot_gauge(
        name="trading_open_orders",
        vital=True,
        help="Own orders that rest at the venue.",
        why="Orders that stay while the bot is down are risk that nobody watches.",
    ),
    bot_gauge(
        name="trading_dead_man_switch_deadline_timestamp_seconds",
        unit="seconds",
        vital=True,
        help="Time at which the venue cancels all orders unless wound again; 0 while not armed.",
        why="In the past while orders are open: nothing would cancel them if the bot died.",
    ),
    bot_histogram(
        name="trading_order_fill_duration_seconds",
        buckets=FILL_BUCKETS,
        exemplar="order_id",
        help="Time from submitting an order to its last fill.",
        why="The objective is on the order done, not on its receipt.",
    ),
)
