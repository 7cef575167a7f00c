"""Notices of the action `notify`: exposed in a metric for a minute, from which a rule pages."""

import asyncio
from collections.abc import Callable

from trading_ops import clock
from trading_ops.domain.target import NAMED_BOTS, Kind, Target
from trading_ops.reconciler.metrics import ReconcilerMetrics

SHOWN_SECONDS = 60.0
"""Seconds; Prometheus scrapes every second, so the alert is sent long before."""

MOST = 20
"""Maximum active notices: each is a series and a page."""

Labels = tuple[str, str, str, str]


class Notices:
    """Publishes notices and removes expired ones."""

    def __init__(
        self, metrics: ReconcilerMetrics, *, monotonic: Callable[[], float] = clock.monotonic
    ) -> None:
        """Start without notices.

        Args:
            metrics: of the reconciler.
            monotonic: the clock.
        """
        self._gauge = metrics.notice
        self._monotonic = monotonic
        self._until: dict[Labels, float] = {}

    def show(self, target: Target, message: str) -> bool:
        """Publish or extend a notice; return False if too many are active."""
        self.end_old()
        bot = target.name if target.kind in NAMED_BOTS else ""
        venue = target.name if target.kind is Kind.VENUE else target.venue or ""
        labels = (target.name, bot, venue, message)
        if labels not in self._until and len(self._until) >= MOST:
            return False
        self._until[labels] = self._monotonic() + SHOWN_SECONDS
        self._gauge.labels(*labels).set(1)
        asyncio.get_running_loop().call_later(SHOWN_SECONDS + 0.1, self.end_old)
        return True

    def end_old(self) -> None:
        """Remove expired notices."""
        now = self._monotonic()
        for labels in [one for one, until in self._until.items() if until <= now]:
            del self._until[labels]
            self._gauge.remove(*labels)
