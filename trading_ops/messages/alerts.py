"""Alertmanager's notifications as messages, for channels that Alertmanager does not have."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from trading_ops.domain.alert import Alert, AlertStatus
from trading_ops.domain.message import Message, MessageKind, Severity
from trading_ops.reconciler.intake import parse_notification

SHOWN = 20
"""Maximum alerts that a message lists."""


def alerts_message(body: bytes, *, now: datetime) -> Message:
    """Return one notification as a message.

    The key has the minute in it: a retry is the same message, a reminder a new one.

    Raises:
        InvalidNotification: the body is not a notification of Alertmanager.
    """
    alerts = parse_notification(body)
    firing = [one for one in alerts if one.status is AlertStatus.FIRING]
    states = sorted(f"{one.fingerprint} {one.status} {one.starts_at}" for one in alerts)
    digest = hashlib.sha256("\n".join((f"{now:%Y-%m-%dT%H:%M}", *states)).encode()).hexdigest()
    bots = {one.labels.get("bot") for one in alerts}
    return Message(
        key=f"alert:{digest}",
        kind=MessageKind.ALERT,
        severity=max(map(_severity, alerts), key=list(Severity).index, default=Severity.INFO),
        bot=bots.pop() if len(bots) == 1 else None,
        at=now,
        subject=_subject(alerts, firing),
        facts={
            f"{number}. {one.status}": f"{_name(one)}: {one.annotations.get('summary', '')}"
            for number, one in enumerate((firing or alerts)[:SHOWN], start=1)
        },
    )


def _subject(alerts: Sequence[Alert], firing: Sequence[Alert]) -> str:
    shown = firing or alerts
    state = "firing" if firing else "resolved"
    first = _name(shown[0]) if shown else "no alerts"
    return f"{state}: {first}" + (f" and {len(shown) - 1} more" if len(shown) > 1 else "")


def _name(one: Alert) -> str:
    about = one.labels.get("bot") or one.labels.get("venue") or one.labels.get("instance", "")
    return f"{one.name} on {about}" if about else one.name


def _severity(one: Alert) -> Severity:
    label = one.labels.get("severity", "")
    return Severity(label) if label in set(Severity) else Severity.WARNING
