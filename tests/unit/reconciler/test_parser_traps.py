"""The traps that JSON, Python and the databases hold for a parser of notifications."""

from typing import Any

import msgspec
import pytest

from trading_ops.domain.alert import Alert, AlertStatus, fingerprint_of
from trading_ops.reconciler.intake import InvalidNotification, parse_notification

GOOD: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "BotDown", "bot": "alpha"},
    "startsAt": "2026-03-01T12:00:00Z",
}


def parse(**over: Any) -> Alert:
    """Return the one alert of a body."""
    (alert,) = parse_notification(msgspec.json.encode({"alerts": [GOOD | over]}))
    return alert


def raw(text: str) -> bytes:
    """Return a body with a text in the place of an annotation's value."""
    body = msgspec.json.encode({"alerts": [GOOD | {"annotations": {"a": "HERE"}}]})
    return body.replace(b'"HERE"', text.encode("utf-8", "surrogatepass"))


REAL: dict[str, Any] = {
    "receiver": r"rec\.v1-x",
    "status": "firing",
    "alerts": [
        {
            **GOOD,
            "annotations": {"summary": "Down."},
            "startsAt": "2026-03-01T12:00:00.123456789Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://vm:9090/graph?g0.expr=up",
            "fingerprint": "20da56ff967d7615",
        },
    ],
    "groupLabels": {"bot": "alpha"},
    "commonLabels": {"bot": "alpha"},
    "commonAnnotations": {},
    "externalURL": "http://vm:9093",
    "version": "4",
    "groupKey": '{}:{alertname="BotDown", bot="alpha"}',
    "truncatedAlerts": 1,
}
"""A body as 0.25 sends it: the receiver's name is quoted for regular expressions."""

NEWER = {"notification_reason": "first notification", "routeLabels": {"team": "ops"}}
"""What 0.32 and 0.34 have added."""


@pytest.mark.parametrize("more", [{}, NEWER], ids=["0.25", "0.34"])
def test_the_whole_contract(more: dict[str, Any]) -> None:
    """What is known is read, what is not is ignored, and the fingerprint is Alertmanager's own."""
    (alert,) = parse_notification(msgspec.json.encode(REAL | more))
    assert (alert.name, alert.fingerprint) == ("BotDown", "20da56ff967d7615")
    assert (alert.status, alert.ends_at) == (AlertStatus.FIRING, None)
    assert alert.annotations == {"summary": "Down."}


@pytest.mark.parametrize("given", ["", "20DA56FF967D7615", "x" * 1000, "20da56ff967d76151"])
def test_a_strange_fingerprint_is_not_taken_over(given: str) -> None:
    """It is a key: what is none of Alertmanager's is computed from the labels instead."""
    assert parse(fingerprint=given).fingerprint == fingerprint_of(GOOD["labels"])


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"alerts": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=["arrays", "objects", "where alerts are"],
)
def test_depth_is_refused(body: bytes) -> None:
    """No stack overflows, anyone who's it is."""
    with pytest.raises(InvalidNotification):
        parse_notification(body)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_numbers_that_are_none_are_refused(number: str) -> None:
    """Python's own parser takes the first four, and fails oddly on the last."""
    with pytest.raises(InvalidNotification):
        parse_notification(raw(number))


@pytest.mark.parametrize("count", ["9223372036854775808", "-9223372036854775809", "1e400"])
def test_counts_beyond_the_database_are_refused_or_unused(count: str) -> None:
    """`truncatedAlerts` is read: it either fits or the body is refused, and nothing else."""
    body = f'{{"alerts": [], "truncatedAlerts": {count}}}'.encode()
    try:
        assert parse_notification(body) == []
    except InvalidNotification:
        return


def test_of_a_doubled_key_the_last_counts() -> None:
    """JSON leaves it open; what matters is that there is one answer, always the same."""
    body = (
        b'{"alerts": [], "alerts": [{"status": "resolved", "status": "firing",'
        b' "labels": {"alertname": "A", "alertname": "B"}, "startsAt": "2026-03-01T12:00:00Z"}]}'
    )
    (alert,) = parse_notification(body)
    assert (alert.name, alert.status) == ("B", AlertStatus.FIRING)


@pytest.mark.parametrize("text", [r'"\ud800"', r'"\udfff tail"', '"\ud800"'])
def test_lone_surrogates_are_refused(text: str) -> None:
    """They are no text: no database and no HTTP body could carry them on."""
    with pytest.raises(InvalidNotification):
        parse_notification(raw(text))


def test_nul_is_text() -> None:
    """The parser keeps it; the store must make it storable, since PostgreSQL refuses it."""
    assert parse(labels={"alertname": "a\0b"}).name == "a\0b"


def test_nanoseconds_are_rounded_to_microseconds() -> None:
    """Go writes nine digits."""
    assert parse(startsAt="2026-03-01T12:00:00.123456789Z").starts_at.microsecond == 123457


@pytest.mark.parametrize("zero", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+05:00"])
def test_year_one_as_an_end_is_no_end(zero: str) -> None:
    """Go's zero time."""
    assert parse(endsAt=zero).ends_at is None


@pytest.mark.parametrize("edge", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"])
def test_a_beginning_beyond_the_calendar_is_refused(edge: str) -> None:
    """Its UTC lies in year 0 or 10000."""
    with pytest.raises(InvalidNotification):
        parse(startsAt=edge)


@pytest.mark.parametrize("moment", ["", "now", "2026-02-30T00:00:00Z", "1970-01-01", 0])
def test_moments_that_are_none_are_refused(moment: object) -> None:
    """A date without time, or a number, is none."""
    with pytest.raises(InvalidNotification):
        parse(startsAt=moment)
