"""A person's word that an incident is theirs, and what follows from it at each moment.

To acknowledge is to have it: hands off, until the incident ends or the word is withdrawn. The
word is kept for at most an hour at a time and renewed while the alert fires, so that it does not
outlive the reconciler that renews it. To snooze is to be left alone until a given time, and to be
told again then. Both are shown to Alertmanager as a silence on the alert's full label set.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from trading_ops.domain.alert import PAGE_LABEL
from trading_ops.domain.fault import ORIGIN, Fault, fault_of

PAGE = "TradingAlertPersists"
"""The alert that pages for one that still fires after its delay, and names it in `origin`."""

DELAYED = frozenset({"5m", "15m"})
"""The page labels of alerts that it pages for."""

OF_THE_ALERT_ALONE = frozenset({"alertname", PAGE_LABEL, "remediation"})
"""Labels that its page does not keep."""

NEW, ACKNOWLEDGED, SNOOZED = "new", "acknowledged", "snoozed"
"""How an incident stands, besides the reasons of decisions."""

ACKNOWLEDGED_FOR = timedelta(hours=1)
"""An acknowledgement's end when nobody renews it: then the second line is called."""

RENEWED_AT = timedelta(minutes=30)
SILENCED_FOR = timedelta(minutes=10)
"""A silence of ours ends by itself this soon when nobody extends it."""

EXTENDED_AT = timedelta(minutes=5)
SNOOZED_AT_MOST = timedelta(hours=24)


class AcknowledgementKind(StrEnum):
    """What the person meant; the stored value too."""

    ACKNOWLEDGE = "acknowledge"
    SNOOZE = "snooze"


@dataclass(frozen=True, kw_only=True)
class Acknowledgement:
    """One person's word about one incident; at most one stands for each."""

    id: int
    incident_id: str
    kind: AcknowledgementKind
    owner: str
    note: str
    at: datetime
    until: datetime
    """When it ends by itself; an acknowledgement is renewed before."""

    ended_at: datetime | None = None
    ended_by: str | None = None
    silence_id: str | None = None
    """As Alertmanager last returned it: an update may give another."""

    silenced_until: datetime | None = None
    """The end of our silence as far as we know; None: there is none."""

    @property
    def stands(self) -> bool:
        """Whether it has not been ended."""
        return self.ended_at is None

    @property
    def lapsed(self) -> bool:
        """Whether it came to its own end, and not by a word or with its incident."""
        return self.ended_at is not None and self.ended_at >= self.until

    @property
    def said(self) -> str:
        """Return it as one phrase, for notes and logs."""
        if self.kind is AcknowledgementKind.SNOOZE:
            return f"snoozed by {self.owner} until {self.until.isoformat(timespec='seconds')}"
        return f"acknowledged by {self.owner}"


def renewed_until(word: Acknowledgement, now: datetime) -> datetime | None:
    """Return the new end of an acknowledgement that must be renewed now, or None."""
    if word.kind is AcknowledgementKind.SNOOZE or word.until - now >= RENEWED_AT:
        return None
    return now + ACKNOWLEDGED_FOR


def has_lapsed(word: Acknowledgement, now: datetime) -> bool:
    """Whether it has come to its own end; only a snooze has one while its incident is open."""
    return word.kind is AcknowledgementKind.SNOOZE and word.until <= now


def silence_until(word: Acknowledgement, now: datetime) -> datetime | None:
    """Return until when a silence must be laid now, or None when the one that stands will do."""
    if word.kind is AcknowledgementKind.SNOOZE:
        return None if word.silenced_until == word.until else word.until
    if word.silenced_until is not None and word.silenced_until - now >= EXTENDED_AT:
        return None
    return now + SILENCED_FOR


@dataclass(frozen=True)
class Matchers:
    """What a silence matches."""

    labels: Mapping[str, str]
    patterns: Mapping[str, str]
    """By regular expression."""


def matchers_of(labels: Mapping[str, str]) -> Matchers:
    """Return what matches an alert by all its labels, and its page."""
    if labels.get(PAGE_LABEL) not in DELAYED or ORIGIN in labels:
        return Matchers(labels, {})
    name = re.escape(labels.get("alertname", ""))
    kept = {key: value for key, value in labels.items() if key not in OF_THE_ALERT_ALONE}
    return Matchers(kept, {"alertname": f"{name}|{PAGE}", ORIGIN: f"({name})?"})


def may_be_silenced(word: Acknowledgement, now: datetime) -> bool:
    """Whether a silence of an ended word may still stand, also one laid just before a crash."""
    return word.silenced_until is not None and word.silenced_until + SILENCED_FOR > now


def acknowledged_until(
    words: Iterable[tuple[Acknowledgement, Mapping[str, str]]],
) -> dict[Fault, datetime | None]:
    """Return for each fault until when it is acknowledged; None: not any more.

    What lapsed keeps its end, which is past: a rule tells people who were to be told again then.

    Args:
        words: each with the labels of its alert.
    """
    ends: dict[Fault, datetime | None] = {}
    for word, labels in words:
        key = fault_of(labels)
        end = word.until if word.stands or word.lapsed else None
        known = ends.get(key)
        if end is None or (known is not None and known > end):
            end = known
        ends[key] = end
    return ends
