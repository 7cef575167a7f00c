"""Which instance of a bot leads; absent for a bot that has no standby."""

import time
from typing import TYPE_CHECKING

from trading_ops.instrument.metric import Metric, bot_counter, bot_gauge

if TYPE_CHECKING:
    from trading_ops.instrument.recorder import Recorder

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


class LeadershipMetrics:
    """What an instance says of its part in who leads."""

    def leader(self, *, leads: bool) -> None:
        """This instance may submit orders, or may not."""
        self._leader.labels().value = 1 if leads else 0

    def lease_renewed(self, at: float | None = None) -> None:
        """The lease was taken or renewed, now or at this time in seconds since the epoch."""
        self._renewed_at.labels().value = time.time() if at is None else at

    def took_over(self) -> None:
        """This instance leads from now on."""
        self._takeovers.labels().value += 1
        self.lease_renewed()

    def _register_leadership(self, recorder: "Recorder") -> None:
        self._leader = recorder.gauge("trading_bot_leader", at_once=False)
        self._renewed_at = recorder.gauge(
            "trading_bot_lease_renewal_timestamp_seconds", at_once=False
        )
        self._takeovers = recorder.counter("trading_bot_takeovers_total")
