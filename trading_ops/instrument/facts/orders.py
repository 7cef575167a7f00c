"""Orders: how they end, why they are denied, how long they take."""

from trading_ops.instrument.facts.recording import observe
from trading_ops.instrument.recorder import Recorder


class OrderFacts:
    """What a bot says of its orders."""

    def order_acknowledged(self, seconds: float, *, order_id: str = "") -> None:
        """The venue acknowledged an order, so long after it was submitted.

        With its id, the order becomes the exemplar of its bucket.
        """
        observe(self._order_duration, seconds, order_id)

    def order_filled(self, seconds: float, *, order_id: str = "") -> None:
        """An order got its last fill, so long after it was submitted.

        That it ended is said by `order_ended`.
        """
        observe(self._order_fill, seconds, order_id)

    def order_ended(self, outcome: str, *, order_id: str = "") -> None:
        """An order ended: filled, cancelled or rejected."""
        counter = self._orders.labels(outcome)
        if order_id:
            counter.inc_for(order_id)
        else:
            counter.value += 1

    def order_denied(self, code: str, *, order_id: str = "") -> None:
        """The bot's own gate denied an order, for this reason."""
        self.order_ended("denied", order_id=order_id)
        counter = self._denials.labels(code)
        if order_id:
            counter.inc_for(order_id)
        else:
            counter.value += 1

    def open_orders(self, count: int) -> None:
        """So many own orders rest at the venue."""
        self._open_orders.value = count

    def dead_man_switch(self, deadline: float) -> None:
        """The venue cancels everything at this time, seconds since the epoch; 0: not armed."""
        self._dead_man.value = deadline

    def _register_orders(self, recorder: Recorder) -> None:
        self._orders = recorder.counter("trading_orders_total")
        self._denials = recorder.counter("trading_order_denials_total")
        self._order_duration = recorder.histogram("trading_order_duration_seconds").labels()
        self._order_fill = recorder.histogram("trading_order_fill_duration_seconds").labels()
        self._open_orders = recorder.gauge("trading_open_orders").labels()
        self._dead_man = recorder.gauge(
            "trading_dead_man_switch_deadline_timestamp_seconds"
        ).labels()
