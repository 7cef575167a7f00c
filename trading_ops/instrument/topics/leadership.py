"""The leader among a bot's instances; absent for a bot without standby."""

import time
from typing import TYPE_CHECKING

from trading_ops.instrument.metric import Metric, bot_counter, bot_gauge

if TYPE_CHECKING:
    from trading_ops.instrument.recorder import Recorder

LEADERSHIP: tuple[Metric, ...] = (
    bot_gauge(
        name="trading_bot_leader",
        vital=True,
        help="1 if this instance is the leader and may submit orders, else 0.",
        why="The sum over a bot's instances must be 1: 0 is no leader, 2 is split brain.",
    ),
    bot_gauge(
        name="trading_bot_lease_renewal_timestamp_seconds",
        unit="seconds",
        help="Time of the leader's last lease renewal, Unix time.",
        why="Older than two intervals: the database is slow or down; the leader will step down.",
    ),
    bot_counter(
        name="trading_bot_takeovers_total",
        help="Times that this process became leader: 0 or 1.",
        why="An unplanned change means that an instance crashed, froze or was partitioned.",
    ),
)


class LeadershipMetrics:
    """Records an instance's leadership."""

    def leader(self, *, leads: bool) -> None:
        """Set whether this instance leads and may submit orders."""
        self._leader.labels().value = 1 if leads else 0

    def lease_renewed(self, at: float | None = None) -> None:
        """Record that the lease was taken or renewed; `at`: seconds since the epoch, None: now."""
        self._renewed_at.labels().value = time.time() if at is None else at

    def took_over(self) -> None:
        """Count a takeover by this instance."""
        self._takeovers.labels().value += 1
        self.lease_renewed()

    def _register_leadership(self, recorder: "Recorder") -> None:
        self._leader = recorder.gauge("trading_bot_leader", at_once=False)
        self._renewed_at = recorder.gauge(
            "trading_bot_lease_renewal_timestamp_seconds", at_once=False
        )
        self._takeovers = recorder.counter("trading_bot_takeovers_total")
