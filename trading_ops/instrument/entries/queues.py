"""Queues inside a bot."""

from trading_ops.instrument.entries.kinds import bot_counter, bot_gauge, bot_histogram
from trading_ops.instrument.metric import Metric

QUEUES: tuple[Metric, ...] = (
    bot_gauge(
        name="trading_queue_depth",
        labels=("queue",),
        help="Items that wait in a queue; NaN when it could not be read.",
        why="A queue that grows: what takes from it is slower than what puts in.",
    ),
    bot_gauge(
        name="trading_queue_capacity",
        labels=("queue",),
        help="Items that a queue can hold; absent when there is no bound.",
        why="The measure for the depth; without a bound the memory is the bound.",
    ),
    bot_histogram(
        name="trading_queue_wait_seconds",
        labels=("queue",),
        help="Time that an item waited in a queue before it was taken.",
        why="Old prices and late orders come from here.",
    ),
    bot_counter(
        name="trading_queue_dropped_total",
        labels=("queue",),
        help="Items that were dropped: the queue was full, or nobody waited for them any more.",
        why="What is dropped was never acted upon.",
    ),
)
