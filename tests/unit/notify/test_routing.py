"""Which channels get a message, and when: tables."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from tests.builders import NOW
from trading_ops.domain.message import GIVE_UP, Message, MessageKind, Severity, next_try, one_line
from trading_ops.notify.config import Hours, NotifyConfig
from trading_ops.notify.routing import deliveries, end_of

NEW_YORK = ZoneInfo("America/New_York")


def message(**over: Any) -> Message:
    values: dict[str, Any] = {
        "key": "k",
        "kind": MessageKind.TRADE,
        "severity": Severity.INFO,
        "bot": "alpha",
        "at": NOW,
        "subject": "bought",
    }
    return Message(**(values | over))


def config(*routes: dict[str, Any], **over: Any) -> NotifyConfig:
    return msgspec.convert({"version": 1, "routes": list(routes)} | over, NotifyConfig)


@pytest.mark.parametrize(
    ("route", "selected"),
    [
        ({}, True),
        ({"kinds": ["trade", "hold"]}, True),
        ({"kinds": ["hold"]}, False),
        ({"severities": ["warning", "critical"]}, False),
        ({"bots": ["alpha"]}, True),
        ({"bots": ["beta"]}, False),
        ({"hours": {"from": "11:00", "to": "13:00"}}, True),
        ({"hours": {"from": "12:01", "to": "13:00"}}, False),
        ({"hours": {"from": "11:00", "to": "13:00", "days": ["mon"]}}, False),  # it is a Sunday
    ],
)
def test_what_a_route_selects(route: dict[str, Any], *, selected: bool) -> None:
    found = deliveries(config({"name": "a", "to": ["mail"], **route}), message(), NOW)
    assert bool(found) is selected


def test_a_channel_gets_a_message_once() -> None:
    """By the first route that names it, though every matching route is used."""
    both = config({"name": "a", "to": ["mail"]}, {"name": "b", "to": ["mail", "chat"]})
    found = deliveries(both, message(), NOW)
    assert [(delivery.route, delivery.channel) for delivery in found] == [
        ("a", "mail"),
        ("b", "chat"),
    ]


@pytest.mark.parametrize(
    ("severity", "digest", "wait", "shared"),
    [
        (Severity.INFO, "0s", timedelta(hours=2), True),
        (Severity.WARNING, "10m", timedelta(hours=2), True),
        (Severity.CRITICAL, "0s", timedelta(0), False),
        (Severity.EMERGENCY, "10m", timedelta(minutes=10), True),
    ],
)
def test_quiet_hours_delay_what_is_not_urgent(
    severity: Severity, digest: str, wait: timedelta, *, shared: bool
) -> None:
    route = {
        "name": "a",
        "to": ["mail"],
        "digest": digest,
        "quiet": {"from": "22:00", "to": "14:00"},
    }
    (found,) = deliveries(config(route), message(severity=severity), NOW)
    assert (found.due_at - NOW, found.digest) == (wait, shared)


def test_a_digest_that_would_end_in_quiet_hours_waits_for_their_end() -> None:
    route = {
        "name": "a",
        "to": ["mail"],
        "digest": "10m",
        "quiet": {"from": "12:05", "to": "13:00"},
    }
    (found,) = deliveries(config(route), message(), NOW)
    assert found.due_at - NOW == timedelta(hours=1)


@pytest.mark.parametrize(
    ("at", "end"),
    [
        ("2026-03-06T22:00", "2026-03-07T07:00"),  # Friday night
        ("2026-03-07T06:59", "2026-03-07T07:00"),
        ("2026-03-07T07:00", None),
        ("2026-03-07T23:00", None),  # Saturday: not one of the days on which they start
        ("2026-03-06T21:59", None),
    ],
)
def test_hours_past_midnight_belong_to_the_day_on_which_they_begin(
    at: str, end: str | None
) -> None:
    hours = Hours(begin="22:00", end="07:00", days=("fri",))
    found = end_of(hours, datetime.fromisoformat(at).replace(tzinfo=NEW_YORK), NEW_YORK)
    wanted = None if end is None else datetime.fromisoformat(end).replace(tzinfo=NEW_YORK)
    assert found == wanted


def test_hours_over_a_change_of_the_clock_are_local() -> None:
    """In New York 8 March 2026 has 23 hours: 22:00 to 07:00 is eight hours long."""
    hours = Hours(begin="22:00", end="07:00")
    begins = datetime(2026, 3, 8, 3, 0, tzinfo=UTC)  # 22:00 EST
    assert end_of(hours, begins, NEW_YORK) == datetime(2026, 3, 8, 11, 0, tzinfo=UTC)


def test_a_delivery_is_tried_three_times_then_backs_off_and_ends() -> None:
    """Five seconds twice, then twice as long each time up to an hour, for a day."""
    now, waits = NOW, []
    for attempts in range(1, 100):
        again = next_try(attempts=attempts, due_at=NOW, now=now)
        if again is None:
            break
        waits.append((again - now).total_seconds())
        now = again
    assert waits[:7] == [5, 5, 10, 20, 40, 80, 160]
    assert max(waits) == 3600
    assert GIVE_UP - timedelta(hours=1) < now - NOW <= GIVE_UP


def test_a_subject_is_one_line() -> None:
    assert one_line("a\r\nBcc: b\0\x1b[31mc\u2028d") == "a Bcc: b [31mc d"
    assert len(one_line("x" * 1000)) == 150
