"""One alert, as Alertmanager and Prometheus tell of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

Fingerprint = NewType("Fingerprint", str)
"""Identity of one alert's label set: 16 hex digits. Never a notification group's key."""

FNV_OFFSET = 0xCBF29CE484222325
FNV_PRIME = 0x100000001B3
MASK = 0xFFFFFFFFFFFFFFFF
SEPARATOR = b"\xff"

WATCHDOG = "Watchdog"
"""The alert that always fires: its absence means that the source cannot be believed."""


PAGE_LABEL = "page_after"
"""The label that each of our alerts carries: when it pages. An alert without it is not ours."""

NEVER_STRIPPED = frozenset({"alertname", "bot", "venue", "component", "symbol", PAGE_LABEL})


class AlertStatus(StrEnum):
    """What a notification says of one alert."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One labelled alert at one moment, from one source."""

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
        """Whether it only says that the pipeline works: such an alert opens no incident."""
        return self.labels.get("severity") == "none"


def stripped(labels: Mapping[str, str], external: Mapping[str, str]) -> Mapping[str, str]:
    """Return an alert's labels without those that Prometheus adds to what it sends.

    Prometheus does not show its external labels in its own API: without this, no alert of a server
    that has some would be found at both sources. The labels by which we know a target stay.
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
