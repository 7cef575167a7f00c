"""Our record of one firing episode of one alert."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from trading_ops.domain.alert import Fingerprint


@dataclass(frozen=True, kw_only=True)
class Incident:
    """An incident; at most one per fingerprint is open."""

    id: str
    fingerprint: Fingerprint
    alert: str
    """The alert's name: which runbook applies."""

    target: str | None
    """The registered target; None if the label matches none."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime
    """When the alert started firing, according to its source."""

    received_at: datetime
    """When the alert was first received."""

    opened_at: datetime
    resolved_at: datetime | None = None
    """The latest end reported by Alertmanager; a hint, not proof."""

    quiet_since: datetime | None = None
    """Since when the alert is absent, while the incident stays open because of flapping."""

    escalated_at: datetime | None = None
    closed_at: datetime | None = None
    close_reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is open."""
        return self.closed_at is None
