"""One body through the real parser: alerts that can be stored, or a clear word that it is none."""

import json
from datetime import timedelta

from trading_ops.domain.alert import Alert
from trading_ops.reconciler.intake import InvalidNotification, parse_notification

ODD = timedelta(0)


class Crash(AssertionError):
    """The parser did something else than it may."""


def check(body: bytes) -> bool:
    """Return whether the body could be read.

    Raises:
        Crash: it was neither read nor refused, or what was read cannot be used.
    """
    try:
        alerts = parse_notification(body)
    except InvalidNotification:
        return False
    except BaseException as error:
        raise Crash(f"{type(error).__name__}: {error}") from error
    for alert in alerts:
        _check_alert(alert)
    return True


def _check_alert(alert: Alert) -> None:
    for moment in (alert.starts_at, alert.ends_at):
        if moment is not None and moment.utcoffset() != ODD:
            raise Crash(f"{moment!r} is not in UTC")
    try:
        json.dumps([dict(alert.labels), dict(alert.annotations)]).encode("utf-8")
        for text in (*alert.labels, *alert.labels.values(), alert.fingerprint):
            text.encode("utf-8")
    except (UnicodeError, ValueError, TypeError) as error:
        raise Crash(f"cannot be stored: {error}") from error
