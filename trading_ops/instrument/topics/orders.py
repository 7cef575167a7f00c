"""Orders: outcomes, denials and latencies."""

from typing import TYPE_CHECKING

from trading_ops.instrument.metric import Metric, bot_counter, bot_gauge, bot_histogram
from trading_ops.instrument.recording import observe

if TYPE_CHECKING:
    from trading_ops.instrument.recorder import Recorder

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

# A taker order fills within the objective of 1 s, a resting order within hours.
FILL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)

ORDERS: tuple[Metric, ...] = (
    bot_counter(
        name="trading_orders_total",
        labels=("outcome",),
        values={"outcome": OUTCOMES},
        exemplar="order_id",
        help="Orders by outcome; denied ones were never sent.",
        why="Rejections and denials instead of fills mean that the bot does not trade.",
    ),
    bot_counter(
        name="trading_order_denials_total",
        labels=("code",),
        values={"code": DENIALS},
        exemplar="order_id",
        help="Orders denied by the bot's own risk checks, by reason.",
        why="Shows which check blocks orders.",
    ),
    bot_histogram(
        name="trading_order_duration_seconds",
        exemplar="order_id",
        help="Time from submitting an order to the venue's acknowledgement.",
        why="Acknowledgements slow down before they get lost.",
    ),
    bot_gauge(
        name="trading_open_orders",
        vital=True,
        help="The bot's open orders at the venue.",
        why="Open orders of a bot that is down are unmanaged risk.",
    ),
    bot_gauge(
        name="trading_dead_man_switch_deadline_timestamp_seconds",
        unit="seconds",
        vital=True,
        help="Time at which the dead man's switch cancels all orders, Unix time; 0: not armed.",
        why="In the past while orders are open: no one would cancel them if the bot crashed.",
    ),
    bot_histogram(
        name="trading_order_fill_duration_seconds",
        buckets=FILL_BUCKETS,
        exemplar="order_id",
        help="Time from submitting an order to its last fill.",
        why="The SLO is on the fill, not on the acknowledgement.",
    ),
)


class OrderMetrics:
    """Records a bot's orders."""

    def order_acknowledged(self, seconds: float, *, order_id: str = "") -> None:
        """Record the venue's acknowledgement of an order and its latency.

        `order_id` becomes the exemplar of the bucket.
        """
        observe(self._order_duration, seconds, order_id)

    def order_filled(self, seconds: float, *, order_id: str = "") -> None:
        """Record the last fill of an order, and the time since it was submitted.

        Call `order_ended` as well.
        """
        observe(self._order_fill, seconds, order_id)

    def order_ended(self, outcome: str, *, order_id: str = "") -> None:
        """Count an order that ended: filled, cancelled or rejected."""
        counter = self._orders.labels(outcome)
        if order_id:
            counter.inc_for(order_id)
        else:
            counter.value += 1

    def order_denied(self, code: str, *, order_id: str = "") -> None:
        """Count an order that the bot's own gate denied, by reason."""
        self.order_ended("denied", order_id=order_id)
        counter = self._denials.labels(code)
        if order_id:
            counter.inc_for(order_id)
        else:
            counter.value += 1

    def open_orders(self, count: int) -> None:
        """Set the number of the bot's open orders at the venue."""
        self._open_orders.value = count

    def dead_man_switch(self, deadline: float) -> None:
        """Set when the venue cancels all orders, seconds since the epoch; 0: not armed."""
        self._dead_man.value = deadline

    def _register_orders(self, recorder: "Recorder") -> None:
        self._orders = recorder.counter("trading_orders_total")
        self._denials = recorder.counter("trading_order_denials_total")
        self._order_duration = recorder.histogram("trading_order_duration_seconds").labels()
        self._order_fill = recorder.histogram("trading_order_fill_duration_seconds").labels()
        self._open_orders = recorder.gauge("trading_open_orders").labels()
        self._dead_man = recorder.gauge(
            "trading_dead_man_switch_deadline_timestamp_seconds"
        ).labels()
