"""Validates acknowledgements, and writes the comment of their silences."""

from datetime import timedelta

from trading_ops.domain.acknowledgement import (
    ACKNOWLEDGED_FOR,
    SNOOZED_AT_MOST,
    Acknowledgement,
    AcknowledgementKind,
)
from trading_ops.errors import OrderRefused


def length(kind: AcknowledgementKind, for_: timedelta | None) -> timedelta:
    """Return the duration of an acknowledgement; None: no end.

    Raises:
        OrderRefused: a snooze without a duration, or with one that is too long.
    """
    if kind is AcknowledgementKind.ACKNOWLEDGE:
        return ACKNOWLEDGED_FOR
    if for_ is None or not timedelta() < for_ <= SNOOZED_AT_MOST:
        hours = SNOOZED_AT_MOST // timedelta(hours=1)
        raise OrderRefused(f"a snooze needs a duration above zero and at most {hours} hours")
    return for_


def plain(text: str) -> str:
    """Return text without characters that a database rejects."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def mark(incident_id: str) -> str:
    """Return the prefix of the comments of our silences for an incident."""
    return f"trading-ops incident {incident_id}: "


def comment(word: Acknowledgement) -> str:
    """Return a silence's comment: the incident, the operator and the reason."""
    return f"{mark(word.incident_id)}{word.said}{f' ({word.note})' if word.note else ''}"
