"""Messages that do not page, and their retry schedule."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

TRIES = 3
"""Retries with the interval `TRY_AGAIN`; later ones back off."""

TRY_AGAIN = timedelta(seconds=5)
LONGEST_BACKOFF = timedelta(hours=1)
GIVE_UP = timedelta(hours=24)
"""Time after the due time until a message becomes a dead letter."""


class MessageKind(StrEnum):
    """Kind of message; routes select by it."""

    ALERT = "alert"
    """From the receiver bridge; pages are Alertmanager's own."""

    TRADE = "trade"
    RISK = "risk"
    ERROR = "error"
    RECOVERY = "recovery"
    RESTART = "restart"
    APPROVAL = "approval"
    MAINTENANCE = "maintenance"
    HOLD = "hold"
    PAUSE = "pause"
    READINESS = "readiness"
    REPORT = "report"
    TEST = "test"


class Severity(StrEnum):
    """Severity of a message; quiet hours do not delay `CRITICAL`."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"
    EMERGENCY = "emergency"

    @property
    def is_urgent(self) -> bool:
        """Whether it ignores quiet hours."""
        return self in {Severity.CRITICAL, Severity.EMERGENCY}


class MessageState(StrEnum):
    """State of a message."""

    WAITING = "waiting"
    SENDING = "sending"
    """A reconciler is delivering it; due again when its claim expires."""

    SENT = "sent"
    DEAD = "dead"
    """No more retries; an operator can retry or discard it."""

    DISCARDED = "discarded"


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message before it is routed and rendered."""

    key: str
    """Deduplication key, derived from the source only."""

    kind: MessageKind
    severity: Severity
    bot: str | None
    at: datetime
    subject: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Fields for the templates. Text from labels and users is untrusted."""


def next_try(*, attempts: int, due_at: datetime, now: datetime) -> datetime | None:
    """Return when to retry a failed delivery, or None to give up.

    Args:
        attempts: number of attempts, including the failed one.
        due_at: when the message was first due.
        now: the moment of the failure.
    """
    wait = TRY_AGAIN
    if attempts >= TRIES:
        wait = min(TRY_AGAIN * 2 ** min(attempts - TRIES + 1, 16), LONGEST_BACKOFF)
    return None if now + wait - due_at > GIVE_UP else now + wait


def one_line(text: str, limit: int = 150) -> str:
    """Return text without control characters and line breaks, truncated to the limit."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    plain = " ".join(plain.split())
    return plain if len(plain) <= limit else f"{plain[: limit - 1]}…"
