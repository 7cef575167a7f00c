"""An alert of Alertmanager or Prometheus."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

Fingerprint = NewType("Fingerprint", str)
"""Fingerprint of an alert's label set: 16 hex digits. Not a notification group key."""

FNV_OFFSET = 0xCBF29CE484222325
FNV_PRIME = 0x100000001B3
MASK = 0xFFFFFFFFFFFFFFFF
SEPARATOR = b"\xff"

WATCHDOG = "Watchdog"
"""The alert that always fires: without it the source is not trusted."""


PAGE_LABEL = "page_after"
"""The label with the paging delay; alerts without it are ignored."""

SEVERE = frozenset({"critical", "emergency"})
"""Severities of faults that threaten money or availability now."""

NEVER_STRIPPED = frozenset({"alertname", "bot", "venue", "component", "symbol", PAGE_LABEL})


class AlertStatus(StrEnum):
    """Status of an alert in a notification."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert at one time from one source."""

    fingerprint: Fingerprint
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    status: AlertStatus
    starts_at: datetime
    ends_at: datetime | None = None
    """When it ended; None while it fires."""

    @property
    def name(self) -> str:
        """The alert's name, empty when it has none."""
        return self.labels.get("alertname", "")

    @property
    def is_ours(self) -> bool:
        """Whether it carries our page label; another team's alerts do not."""
        return PAGE_LABEL in self.labels

    @property
    def is_context(self) -> bool:
        """Whether it only monitors the alert pipeline; such an alert opens no incident."""
        return self.labels.get("severity") == "none"


def stripped(labels: Mapping[str, str], external: Mapping[str, str]) -> Mapping[str, str]:
    """Return an alert's labels without the external labels of Prometheus.

    Prometheus does not return external labels in its own API: without this, alerts of a server with
    external labels would not match between both sources. The labels that identify a target stay.
    """
    if not external:
        return labels
    return {
        name: value
        for name, value in labels.items()
        if name in NEVER_STRIPPED or external.get(name) != value
    }


def fingerprint_of(labels: Mapping[str, str]) -> Fingerprint:
    """Compute the fingerprint as Alertmanager does.

    Source: prometheus/common `model.LabelSet.Fingerprint`: FNV-1a, 64 bits, over the sorted label
    names and values, each followed by 0xff.
    """
    value = FNV_OFFSET
    for name in sorted(labels):
        for part in (name, labels[name]):
            for byte in part.encode() + SEPARATOR:
                value = ((value ^ byte) * FNV_PRIME) & MASK
    return Fingerprint(f"{value:016x}")
