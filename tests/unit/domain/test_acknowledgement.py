"""Acknowledgements: what is due at each moment, and what the rule for secondary on-call sees."""

import re
from datetime import timedelta
from typing import Any

import pytest

from tests.builders import LABELS, NOW, ago
from trading_ops.domain.acknowledgement import (
    Acknowledgement,
    AcknowledgementKind,
    FaultKey,
    Matchers,
    acknowledged_until,
    fault_of,
    has_lapsed,
    matchers_of,
    may_be_silenced,
    renewed_until,
    silence_to_create,
)

MINUTE = timedelta(minutes=1)
KEY = FaultKey("BotSick", "alpha", "paper", "")


def make_acknowledgement(**over: Any) -> Acknowledgement:
    values: dict[str, Any] = {
        "id": 1,
        "incident_id": "incident-1",
        "kind": AcknowledgementKind.ACKNOWLEDGE,
        "owner": "anna",
        "note": "",
        "at": ago(60),
        "until": NOW + 59 * MINUTE,
    }
    return Acknowledgement(**(values | over))


def make_snooze(**over: Any) -> Acknowledgement:
    return make_acknowledgement(
        **({"kind": AcknowledgementKind.SNOOZE, "until": NOW + 20 * MINUTE} | over)
    )


@pytest.mark.parametrize(
    ("acknowledgement", "expected"),
    [
        (make_acknowledgement(until=NOW + 31 * MINUTE), None),
        (make_acknowledgement(until=NOW + 29 * MINUTE), NOW + 60 * MINUTE),
        (make_acknowledgement(until=NOW - 5 * MINUTE), NOW + 60 * MINUTE),
        (make_snooze(until=NOW + MINUTE), None),
    ],
)
def test_an_acknowledgement_is_renewed_and_a_snooze_is_not(
    acknowledgement: Acknowledgement, expected: Any
) -> None:
    """Also when the reconciler was down for longer: the acknowledgement stays valid."""
    assert renewed_until(acknowledgement, NOW) == expected


def test_only_a_snooze_lapses() -> None:
    """At its very end."""
    assert has_lapsed(make_snooze(until=NOW), NOW)
    assert not has_lapsed(make_snooze(until=NOW + MINUTE), NOW)
    assert not has_lapsed(make_acknowledgement(until=ago(1)), NOW)


@pytest.mark.parametrize(
    ("acknowledgement", "expected"),
    [
        (make_acknowledgement(), NOW + 10 * MINUTE),
        (make_acknowledgement(silenced_until=NOW + 6 * MINUTE), None),
        (make_acknowledgement(silenced_until=NOW + 4 * MINUTE), NOW + 10 * MINUTE),
        (make_acknowledgement(silenced_until=ago(90)), NOW + 10 * MINUTE),
        (make_snooze(), NOW + 20 * MINUTE),
        (make_snooze(silenced_until=NOW + 20 * MINUTE), None),
        (make_snooze(silenced_until=NOW + 10 * MINUTE), NOW + 20 * MINUTE),
    ],
)
def test_the_silence_is_short_and_extended_or_as_long_as_the_snooze(
    acknowledgement: Acknowledgement, expected: Any
) -> None:
    """It ends on its own soon after the reconciler does."""
    assert silence_to_create(acknowledgement, NOW) == expected


def test_a_silence_may_stand_a_while_after_what_is_known_of_it() -> None:
    """A crash between laying it and storing that leaves an older end behind."""
    assert may_be_silenced(make_acknowledgement(silenced_until=NOW - 9 * MINUTE), NOW)
    assert not may_be_silenced(make_acknowledgement(silenced_until=NOW - 11 * MINUTE), NOW)
    assert not may_be_silenced(make_acknowledgement(), NOW)


def test_an_alert_about_an_alert_is_the_same_fault() -> None:
    """Anyone who acknowledges `TradingRecoveryFailed` has the bot's fault."""
    failed = {"alertname": "TradingRecoveryFailed", "origin": "BotSick"}
    assert fault_of(LABELS) == KEY
    assert fault_of(LABELS | failed) == KEY
    assert fault_of(LABELS | {"symbol": "BTC"}) == fault_of(LABELS | failed | {"subject": "BTC"})
    venue = {"alertname": "TradingVenueDown", "venue": "paper"}
    assert fault_of(venue) == FaultKey("TradingVenueDown", "", "paper", "")


def test_the_same_alert_of_two_hosts_is_two_faults() -> None:
    """What is acknowledged for one host says nothing about the other."""
    disk = {"alertname": "TradingHostDiskLow", "instance": "a:1", "path": "/data"}
    latest = acknowledged_until([(make_acknowledgement(), disk)])
    assert latest.keys() == {fault_of(disk)}
    assert fault_of(disk | {"instance": "b:1"}) not in latest
    assert fault_of(disk | {"path": "/logs"}) not in latest


def test_a_silence_matches_every_label_of_its_alert() -> None:
    """Host A is not host B; and an alert whose page a rule raises later is silenced with it."""
    at_once = {"alertname": "TradingHostDiskLow", "host": "a", "page_after": "0s"}
    assert matchers_of(at_once) == Matchers(at_once, {})
    page = {"alertname": "TradingAlertPersists", "origin": "BotSick", "page_after": "5m"}
    assert matchers_of(page) == Matchers(page, {})
    delayed = matchers_of({"alertname": "TradingHostDiskLow", "host": "a", "page_after": "5m"})
    assert delayed.labels == {"host": "a"}
    for name, origin in (
        ("TradingHostDiskLow", ""),
        ("TradingAlertPersists", "TradingHostDiskLow"),
    ):
        assert re.fullmatch(delayed.patterns["alertname"], name)
        assert re.fullmatch(delayed.patterns["origin"], origin)
    assert not re.fullmatch(delayed.patterns["alertname"], "TradingHostDiskFilling")
    assert not re.fullmatch(delayed.patterns["origin"], "TradingHostDiskFilling")


def test_the_metric_knows_the_latest_end_and_what_was_withdrawn() -> None:
    """Whatever the order of the words: one that stands wins over one that was ended."""
    withdrawn = make_acknowledgement(ended_at=NOW)
    soon, late = (
        make_acknowledgement(until=NOW + MINUTE),
        make_acknowledgement(until=NOW + 2 * MINUTE),
    )
    assert acknowledged_until([(withdrawn, LABELS)]) == {KEY: None}
    for acknowledgements in (
        [withdrawn, late, soon],
        [soon, late, withdrawn],
        [late, withdrawn, soon],
    ):
        assert acknowledged_until(
            (acknowledgement, LABELS) for acknowledgement in acknowledgements
        ) == {KEY: late.until}


def test_what_lapsed_keeps_its_end() -> None:
    """A rule pages again while that end is past and the alert still fires."""
    lapsed = make_snooze(until=ago(5), ended_at=ago(4))
    assert lapsed.has_expired
    assert acknowledged_until([(lapsed, LABELS)]) == {KEY: ago(5)}
    assert not make_acknowledgement().has_expired


def test_it_is_reported_in_one_phrase() -> None:
    """With who, and for a snooze until when."""
    assert "anna" in make_acknowledgement().description
    snooze = make_snooze()
    assert all(part in snooze.description for part in ("anna", snooze.until.isoformat()))
    assert make_acknowledgement().is_active
