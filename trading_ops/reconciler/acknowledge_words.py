"""How a person's word is spelt: its length, and what the silence that shows it says."""

from datetime import timedelta

from trading_ops.domain.acknowledgement import (
    ACKNOWLEDGED_FOR,
    SNOOZED_AT_MOST,
    Acknowledgement,
    AcknowledgementKind,
)
from trading_ops.errors import OrderRefused


def length(kind: AcknowledgementKind, for_: timedelta | None) -> timedelta:
    """Return for how long a word is to stand.

    Raises:
        OrderRefused: a snooze that does not say it, or says too much.
    """
    if kind is AcknowledgementKind.ACKNOWLEDGE:
        return ACKNOWLEDGED_FOR
    if for_ is None or not timedelta() < for_ <= SNOOZED_AT_MOST:
        hours = SNOOZED_AT_MOST // timedelta(hours=1)
        raise OrderRefused(f"say for how long to snooze: more than nothing, at most {hours} hours")
    return for_


def plain(text: str) -> str:
    """Return text that every database stores."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def mark(incident_id: str) -> str:
    """Return how the comment of every silence of ours for an incident begins."""
    return f"trading-ops incident {incident_id}: "


def comment(word: Acknowledgement) -> str:
    """Return what a silence says of itself: the incident, who said it, and why."""
    return f"{mark(word.incident_id)}{word.said}{f' ({word.note})' if word.note else ''}"
