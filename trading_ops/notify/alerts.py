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
    firing = [alert for alert in alerts if alert.status is AlertStatus.FIRING]
    states = sorted(f"{alert.fingerprint} {alert.status} {alert.starts_at}" for alert in alerts)
    digest = hashlib.sha256("\n".join((f"{now:%Y-%m-%dT%H:%M}", *states)).encode()).hexdigest()
    bots = {alert.labels.get("bot") for alert in alerts}
    return Message(
        key=f"alert:{digest}",
        kind=MessageKind.ALERT,
        severity=max(map(_severity, alerts), key=list(Severity).index, default=Severity.INFO),
        bot=bots.pop() if len(bots) == 1 else None,
        at=now,
        subject=_subject(alerts, firing),
        facts={
            f"{number}. {alert.status}": f"{_name(alert)}: {alert.annotations.get('summary', '')}"
            for number, alert in enumerate((firing or alerts)[:SHOWN], start=1)
        },
    )


def _subject(alerts: Sequence[Alert], firing: Sequence[Alert]) -> str:
    shown = firing or alerts
    state = "firing" if firing else "resolved"
    first = _name(shown[0]) if shown else "no alerts"
    return f"{state}: {first}" + (f" and {len(shown) - 1} more" if len(shown) > 1 else "")


def _name(alert: Alert) -> str:
    about = alert.labels.get("bot") or alert.labels.get("venue") or alert.labels.get("instance", "")
    return f"{alert.name} on {about}" if about else alert.name


def _severity(alert: Alert) -> Severity:
    label = alert.labels.get("severity", "")
    return Severity(label) if label in set(Severity) else Severity.WARNING
