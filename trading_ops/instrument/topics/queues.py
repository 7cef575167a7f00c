"""Queues inside a bot."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from trading_ops.instrument.metric import Metric, bot_counter, bot_gauge, bot_histogram
from trading_ops.instrument.readings import Readings
from trading_ops.instrument.recording import observe

if TYPE_CHECKING:
    from trading_ops.instrument.recorder import Recorder

QUEUES: tuple[Metric, ...] = (
    bot_gauge(
        name="trading_queue_depth",
        labels=("queue",),
        help="Items in a queue; NaN if it could not be read.",
        why="A growing queue: its consumer is slower than its producer.",
    ),
    bot_gauge(
        name="trading_queue_capacity",
        labels=("queue",),
        help="Capacity of a queue; absent if unbounded.",
        why="The limit for the depth; an unbounded queue can exhaust memory.",
    ),
    bot_histogram(
        name="trading_queue_wait_seconds",
        labels=("queue",),
        help="Time that an item waited in a queue.",
        why="Long waits cause stale prices and late orders.",
    ),
    bot_counter(
        name="trading_queue_dropped_total",
        labels=("queue",),
        help="Items dropped: the queue was full, or the item was stale.",
        why="Dropped items were never processed.",
    ),
)


QUEUE_LIMIT = 16
"""Queues that need not be declared: their names are in the bot's code."""


class QueueMetrics:
    """Records a bot's queues."""

    _readings: Readings

    def watch_queue(
        self, queue: str, depth: Callable[[], float], *, capacity: int | None = None
    ) -> None:
        """Read a queue's depth at each scrape, for example with `inbox.qsize`.

        Args:
            queue: its name.
            depth: returns the number of items; called in the thread of the scrape.
            capacity: maximum number of items; None: unbounded.
        """
        self._readings.add(self._queue_depth.labels(queue), depth)
        if capacity is not None:
            self.queue_capacity(queue, capacity)

    def queue_depth(self, queue: str, items: int) -> None:
        """Set the number of items in a queue; absent until set."""
        self._queue_depth.labels(queue).value = items

    def queue_capacity(self, queue: str, items: int) -> None:
        """Set a queue's maximum number of items; do not call it for an unbounded queue."""
        self._queue_capacity.labels(queue).value = items

    def queue_wait(self, queue: str, seconds: float) -> None:
        """Record the time that an item waited in a queue."""
        observe(self._queue_wait.labels(queue), seconds)

    def queue_dropped(self, queue: str, items: int = 1) -> None:
        """Count dropped items: the queue was full, or they were no longer needed."""
        lost = max(
            0, items
        )  # computed first: a call within the addition would allow a thread switch
        self._queue_dropped.labels(queue).value += lost

    def _register_queues(self, recorder: "Recorder", queues: tuple[str, ...]) -> None:
        known = {"queue": queues}
        self._queue_depth = recorder.gauge(
            "trading_queue_depth", known, limit=QUEUE_LIMIT, at_once=False
        )
        self._queue_capacity = recorder.gauge(
            "trading_queue_capacity", known, limit=QUEUE_LIMIT, at_once=False
        )
        self._queue_wait = recorder.histogram(
            "trading_queue_wait_seconds", known, limit=QUEUE_LIMIT
        )
        self._queue_dropped = recorder.counter(
            "trading_queue_dropped_total", known, limit=QUEUE_LIMIT
        )
