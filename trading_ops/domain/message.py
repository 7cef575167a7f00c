"""A message to people that does not page: what it is about, and when it is tried again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

TRIES = 3
"""Deliveries that follow each other after `TRY_AGAIN`; later ones back off."""

TRY_AGAIN = timedelta(seconds=5)
LONGEST_BACKOFF = timedelta(hours=1)
GIVE_UP = timedelta(hours=24)
"""After a message was due, it becomes a dead letter."""


class MessageKind(StrEnum):
    """What a message is about; routes select by it."""

    TRADE = "trade"
    RISK = "risk"
    ERROR = "error"
    RECOVERY = "recovery"
    APPROVAL = "approval"
    MAINTENANCE = "maintenance"
    HOLD = "hold"
    PAUSE = "pause"
    REPORT = "report"
    TEST = "test"


class Severity(StrEnum):
    """How urgent a message is; from `CRITICAL` on, quiet hours do not delay it."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"
    EMERGENCY = "emergency"

    @property
    def is_urgent(self) -> bool:
        """Whether it ignores quiet hours."""
        return self in {Severity.CRITICAL, Severity.EMERGENCY}


class MessageState(StrEnum):
    """Where one message stands."""

    WAITING = "waiting"
    SENDING = "sending"
    """A reconciler is delivering it; due again when its claim ends."""

    SENT = "sent"
    DEAD = "dead"
    """It was given up; a person can retry or discard it."""

    DISCARDED = "discarded"


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message before it is routed and rendered."""

    key: str
    """The same fact has the same key, whoever finds it, and however often."""

    kind: MessageKind
    severity: Severity
    bot: str | None
    at: datetime
    subject: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the templates show. Texts from labels and people are hostile."""


def next_try(*, attempts: int, due_at: datetime, now: datetime) -> datetime | None:
    """Return when a delivery that failed is tried again, or None: it is given up.

    Args:
        attempts: so far, the failed one included.
        due_at: when the message was first due.
        now: the moment of the failure.
    """
    wait = TRY_AGAIN
    if attempts >= TRIES:
        wait = min(TRY_AGAIN * 2 ** min(attempts - TRIES + 1, 16), LONGEST_BACKOFF)
    return None if now + wait - due_at > GIVE_UP else now + wait


def one_line(text: str, limit: int = 150) -> str:
    """Return a text without control characters and line breaks, at most so long."""
    plain = "".join(one if one.isprintable() else " " for one in text)
    plain = " ".join(plain.split())
    return plain if len(plain) <= limit else f"{plain[: limit - 1]}…"
