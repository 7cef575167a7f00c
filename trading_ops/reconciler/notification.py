"""Alertmanager's webhook body → alerts.

Source: alertmanager `template/template.go` (Data) and `notify/webhook/webhook.go` (Message),
version "4", 0.25 to 0.34. Unknown keys are ignored: newer versions add some.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from trading_ops.domain.alert import Alert, AlertStatus, Fingerprint, fingerprint_of, stripped

FINGERPRINT = re.compile(r"[0-9a-f]{16}")

NO_LABELS: Mapping[str, str] = {}
ZERO_TIME_YEAR = 1
"""Go's zero time, 0001-01-01: the `endsAt` of a firing alert."""


class _Alert(msgspec.Struct):
    status: AlertStatus
    labels: dict[str, str]
    startsAt: datetime  # noqa: N815 - Alertmanager's names
    endsAt: datetime | None = None  # noqa: N815
    annotations: dict[str, str] = {}
    fingerprint: str = ""


class _Message(msgspec.Struct):
    alerts: list[_Alert]
    version: str = "4"


class _Cut(msgspec.Struct):
    truncatedAlerts: object = 0  # noqa: N815


class Unreadable(ValueError):
    """The body is not a notification; it is quarantined."""


def parse_notification(body: bytes, external: Mapping[str, str] = NO_LABELS) -> list[Alert]:
    """Return the alerts of one notification, without the external labels of Prometheus.

    Raises:
        Unreadable: it is not JSON, or not Alertmanager's.
    """
    try:
        message = msgspec.json.decode(body, type=_Message)
        return [_alert(one, external) for one in message.alerts]
    except (msgspec.DecodeError, RecursionError, UnicodeError, OverflowError) as error:
        # OverflowError: a time whose zone offset moves it beyond the supported range.
        raise Unreadable(str(error)) from error


def cut_off(body: bytes) -> int:
    """Return the number of alerts that Alertmanager truncated because of `max_alerts`.

    An invalid number is ignored: the alerts in the body still count.
    """
    if b'"truncatedAlerts"' not in body:
        return 0
    try:
        number = msgspec.json.decode(body, type=_Cut).truncatedAlerts
    except (msgspec.DecodeError, RecursionError):
        return 0
    return number if isinstance(number, int) and number > 0 else 0


def _alert(one: _Alert, external: Mapping[str, str]) -> Alert:
    ended = one.endsAt is not None and one.endsAt.year > ZERO_TIME_YEAR
    labels = stripped(one.labels, external)
    given = labels == one.labels and FINGERPRINT.fullmatch(one.fingerprint)
    return Alert(
        # It is a database key: a value not from Alertmanager may have any length.
        fingerprint=Fingerprint(one.fingerprint) if given else fingerprint_of(labels),
        labels=labels,
        annotations=one.annotations,
        status=one.status,
        starts_at=_utc(one.startsAt),
        ends_at=_utc(one.endsAt) if ended and one.endsAt else None,
    )


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
