"""Which instance of a bot leads; absent for a bot that has no standby."""

from trading_ops.instrument.entries.kinds import bot_counter, bot_gauge
from trading_ops.instrument.metric import Metric

LEADERSHIP: tuple[Metric, ...] = (
    bot_gauge(
        name="trading_bot_leader",
        vital=True,
        help="1 while this instance may submit orders, 0 while it is a standby or unsure.",
        why="Summed over a bot's instances it is 1: at 0 nobody trades, above it two would.",
    ),
    bot_gauge(
        name="trading_bot_lease_renewal_timestamp_seconds",
        unit="seconds",
        help="Time of the leader's last renewal of its lease, since the epoch.",
        why="Older than two renewals: the database is slow or away, and the leader soon stops.",
    ),
    bot_counter(
        name="trading_bot_takeovers_total",
        help="Times that this process took the lease over and began to lead: none or one.",
        why="A change that nobody made is an instance that died, froze or was cut off.",
    ),
)
