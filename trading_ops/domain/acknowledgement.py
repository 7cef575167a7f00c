"""Acknowledgements and snoozes of incidents, as pure functions of time.

An acknowledgement suppresses pages and automation until the incident closes or it is removed. It is
stored for at most an hour at a time and renewed while the alert fires, so that it does not outlive
the reconciler that renews it. A snooze suppresses them until a given time, then pages again. Both
create a silence on the alert's full label set in Alertmanager.

Acknowledgements and pages of secondary on-call have the fault as key, which alerts about one cause
share.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from trading_ops.domain.alert import PAGE_LABEL

ORIGIN, BOT, VENUE, SUBJECT = "origin", "bot", "venue", "subject"

SUBJECT_LABELS = (
    SUBJECT,
    "instance",
    "database",
    "path",
    "component",
    "symbol",
    "currency",
    "pool",
    "queue",
    "log",
    "kind",
    "code",
    "source",
    "metric",
    "group",
    "failover",
    "anomaly_name",
    "sloth_id",
    "collector",
    "integration",
    "task",
    "action",
    "rule_group",
    "gate",
    "reason",
    "clock",
    "operation",
    "name",
    "resource",
    "host",
)
"""Labels that distinguish two alerts with the same name, bot and venue; the recording rule
`fault:ALERTS:max` joins them in the same order. An alert about another alert has only `subject`."""


class FaultKey(NamedTuple):
    """Labels of the metrics that suppress paging of secondary on-call."""

    origin: str
    bot: str
    venue: str
    subject: str


def subject_of(labels: Mapping[str, str]) -> str:
    """Return the values of the identifying labels, joined as the recording rule does."""
    return "".join(labels.get(name, "") for name in SUBJECT_LABELS)


def fault_of(labels: Mapping[str, str]) -> FaultKey:
    """Return the fault of an alert.

    `TradingRecoveryFailed` and similar alerts have the original alert in `origin`: acknowledging
    one of them acknowledges the fault.
    """
    origin = labels.get(ORIGIN) or labels.get("alertname", "")
    return FaultKey(origin, labels.get(BOT, ""), labels.get(VENUE, ""), subject_of(labels))


PAGE = "TradingAlertPersists"
"""The alert that pages when another alert still fires after its delay; named in `origin`."""

DELAYED = frozenset({"5m", "15m"})
"""`page_after` values of alerts that it pages for."""

OF_THE_ALERT_ALONE = frozenset({"alertname", PAGE_LABEL, "remediation"})
"""Labels that it does not keep."""

NEW, ACKNOWLEDGED, SNOOZED = "new", "acknowledged", "snoozed"
"""Incident statuses other than decision reasons."""

ACKNOWLEDGED_FOR = timedelta(hours=1)
"""Expiry of an acknowledgement without renewal; then secondary on-call is paged."""

RENEWED_AT = timedelta(minutes=30)
SILENCED_FOR = timedelta(minutes=10)
"""Expiry of our silences without extension."""

EXTENDED_AT = timedelta(minutes=5)
SNOOZED_AT_MOST = timedelta(hours=24)


class AcknowledgementKind(StrEnum):
    """Kind of acknowledgement; also the stored value."""

    ACKNOWLEDGE = "acknowledge"
    SNOOZE = "snooze"


@dataclass(frozen=True, kw_only=True)
class Acknowledgement:
    """An operator's acknowledgement or snooze; at most one per incident is active."""

    id: int
    incident_id: str
    kind: AcknowledgementKind
    owner: str
    note: str
    at: datetime
    until: datetime
    """Expiry; an acknowledgement is renewed before."""

    ended_at: datetime | None = None
    ended_by: str | None = None
    silence_id: str | None = None
    """Silence id, as last returned by Alertmanager: an update may change it."""

    silenced_until: datetime | None = None
    """Known end of our silence; None: no silence."""

    @property
    def is_active(self) -> bool:
        """Whether it was neither removed nor closed; it may be past its expiry."""
        return self.ended_at is None

    @property
    def has_expired(self) -> bool:
        """Whether it expired, instead of being removed or closed with its incident."""
        return self.ended_at is not None and self.ended_at >= self.until

    @property
    def description(self) -> str:
        """Return a description for notes and logs."""
        if self.kind is AcknowledgementKind.SNOOZE:
            return f"snoozed by {self.owner} until {self.until.isoformat(timespec='seconds')}"
        return f"acknowledged by {self.owner}"


def renewed_until(ack: Acknowledgement, now: datetime) -> datetime | None:
    """Return the new expiry if the acknowledgement must be renewed now, else None."""
    if ack.kind is AcknowledgementKind.SNOOZE or ack.until - now >= RENEWED_AT:
        return None
    return now + ACKNOWLEDGED_FOR


def has_lapsed(ack: Acknowledgement, now: datetime) -> bool:
    """Whether it has expired; while the incident is open, only a snooze does."""
    return ack.kind is AcknowledgementKind.SNOOZE and ack.until <= now


def silence_to_create(ack: Acknowledgement, now: datetime) -> datetime | None:
    """Return the end of a silence to create now, or None if the existing one suffices."""
    if ack.kind is AcknowledgementKind.SNOOZE:
        return None if ack.silenced_until == ack.until else ack.until
    if ack.silenced_until is not None and ack.silenced_until - now >= EXTENDED_AT:
        return None
    return now + SILENCED_FOR


@dataclass(frozen=True)
class Matchers:
    """Matchers of a silence."""

    labels: Mapping[str, str]
    patterns: Mapping[str, str]
    """Regular expressions."""


def matchers_of(labels: Mapping[str, str]) -> Matchers:
    """Return matchers for an alert by all its labels, and for its page."""
    if labels.get(PAGE_LABEL) not in DELAYED or ORIGIN in labels:
        return Matchers(labels, {})
    name = re.escape(labels.get("alertname", ""))
    kept = {key: value for key, value in labels.items() if key not in OF_THE_ALERT_ALONE}
    return Matchers(kept, {"alertname": f"{name}|{PAGE}", ORIGIN: f"({name})?"})


def may_be_silenced(ack: Acknowledgement, now: datetime) -> bool:
    """Whether a silence may still be active after its acknowledgement, also after a crash."""
    return ack.silenced_until is not None and ack.silenced_until + SILENCED_FOR > now


def acknowledged_until(
    acks: Iterable[tuple[Acknowledgement, Mapping[str, str]]],
) -> dict[FaultKey, datetime | None]:
    """Return until when each fault is acknowledged; None: no longer.

    An expired one keeps its past end, by which a rule pages again.

    Args:
        acks: acknowledgements with the labels of their alerts.
    """
    ends: dict[FaultKey, datetime | None] = {}
    for ack, labels in acks:
        key = fault_of(labels)
        end = ack.until if ack.is_active or ack.has_expired else None
        known = ends.get(key)
        if end is None or (known is not None and known > end):
            end = known
        ends[key] = end
    return ends
