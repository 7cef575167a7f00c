"""Our record of one firing episode of one alert."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from trading_ops.domain.alert import Fingerprint


@dataclass(frozen=True, kw_only=True)
class Incident:
    """At most one is open for each fingerprint."""

    id: str
    fingerprint: Fingerprint
    alert: str
    """The alert's name: which runbook applies."""

    target: str | None
    """The registered target that is acted on; None when a label names none."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime
    """When the alert began to fire, as its source says."""

    received_at: datetime
    """When we first heard of it."""

    opened_at: datetime
    resolved_at: datetime | None = None
    """The latest end that Alertmanager told of; a hint, not a proof."""

    quiet_since: datetime | None = None
    """Since when it does not fire any more, while it is kept open because it flaps."""

    escalated_at: datetime | None = None
    closed_at: datetime | None = None
    close_reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still needs looking after."""
        return self.closed_at is None
