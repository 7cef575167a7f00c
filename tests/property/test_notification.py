"""Whatever bytes come: alerts, or a clear word that they are none."""

import contextlib
import json
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from trading_ops.reconciler.intake import InvalidNotification, parse_notification


@given(body=st.binary() | st.text().map(str.encode))
def test_any_bytes_are_alerts_or_unreadable(body: bytes) -> None:
    """The parser has no third answer."""
    with contextlib.suppress(InvalidNotification):
        assert isinstance(parse_notification(body), list)


@given(starts=st.datetimes(timezones=st.timezones()), ends=st.datetimes(timezones=st.timezones()))
def test_any_moment_is_read_or_unreadable(starts: datetime, ends: datetime) -> None:
    """Whatever the zone, a moment comes out in UTC."""
    alert = {
        "status": "resolved",
        "labels": {"alertname": "A"},
        "startsAt": starts.isoformat(),
        "endsAt": ends.isoformat(),
    }
    try:
        (read,) = parse_notification(json.dumps({"alerts": [alert]}).encode())
    except InvalidNotification:
        return
    assert read.starts_at.utcoffset() == timedelta(0)
