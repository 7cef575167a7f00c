"""Which instance of a bot leads; absent until it is said."""

import time

from trading_ops.instrument.recorder import Recorder


class LeadershipFacts:
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

    def _register_leadership(self, recorder: Recorder) -> None:
        self._leader = recorder.gauge("trading_bot_leader", at_once=False)
        self._renewed_at = recorder.gauge(
            "trading_bot_lease_renewal_timestamp_seconds", at_once=False
        )
        self._takeovers = recorder.counter("trading_bot_takeovers_total")
