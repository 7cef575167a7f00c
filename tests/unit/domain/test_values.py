"""The small values of the domain."""

from datetime import timedelta

import pytest

from tests.builders import ago, make_alert, make_incident, make_registry, make_target
from trading_ops.backoff import full_jitter
from trading_ops.domain.alert import fingerprint_of, stripped
from trading_ops.domain.runbook import fill_query
from trading_ops.domain.target import Kind


def test_fingerprint_is_alertmanagers() -> None:
    """An alert has the fingerprint that Alertmanager 0.25 gave it (read from its API)."""
    assert fingerprint_of({"alertname": "A", "bot": "b1"}) == "5a5c3625a5b42b0d"


def test_fingerprint_does_not_depend_on_order() -> None:
    """Labels are a set."""
    assert fingerprint_of({"a": "1", "b": "2"}) == fingerprint_of({"b": "2", "a": "1"})


@pytest.mark.parametrize(
    ("external", "left"),
    [
        ({}, {"bot": "alpha", "site": "a"}),
        ({"site": "a"}, {"bot": "alpha"}),
        ({"site": "b"}, {"bot": "alpha", "site": "a"}),
        ({"bot": "alpha"}, {"bot": "alpha", "site": "a"}),
    ],
)
def test_external_labels_are_stripped(external: dict[str, str], left: dict[str, str]) -> None:
    """Only with the value that Prometheus adds, and never a label that names a target."""
    assert stripped({"bot": "alpha", "site": "a"}, external) == left


def test_alert_without_a_name() -> None:
    """A nameless alert has the empty name, which no runbook has."""
    assert make_alert(labels={"bot": "alpha"}).name == ""


def test_context_alerts_open_no_incident() -> None:
    """Severity none only says that the pipeline works."""
    assert make_alert(labels={"alertname": "Watchdog", "severity": "none"}).is_context
    assert not make_alert().is_context


def test_incident_is_open_until_it_is_closed() -> None:
    """Escalated is still open."""
    assert make_incident(escalated_at=ago(1)).is_open
    assert not make_incident(closed_at=ago(1)).is_open


def test_query_gets_registered_names_escaped() -> None:
    """Quotes, backslashes and newlines cannot end the PromQL string."""
    target = make_target(name='a"\\\nb')
    query = fill_query('up{bot="$bot",venue="$venue",t="$target"}', target)
    escaped = 'a\\"\\\\\\nb'
    assert query == f'up{{bot="{escaped}",venue="paper",t="{escaped}"}}'


def test_query_of_a_target_that_is_no_bot() -> None:
    """$bot is empty then, so that it selects nothing."""
    venue = make_target(name="paper", kind=Kind.VENUE, venue=None)
    assert fill_query('x{bot="$bot",venue="$venue"}', venue) == 'x{bot="",venue=""}'


@pytest.mark.parametrize(
    ("attempt", "fraction", "expected"),
    [(0, 0.0, 0.0), (0, 0.5, 0.5), (3, 1.0, 8.0), (10, 1.0, 30.0), (10_000, 0.5, 15.0)],
)
def test_full_jitter(attempt: int, fraction: float, expected: float) -> None:
    """The ceiling doubles up to its cap; the wait is a share of it."""
    wait = full_jitter(
        attempt, base=timedelta(seconds=1), cap=timedelta(seconds=30), fraction=fraction
    )
    assert wait == timedelta(seconds=expected)


def test_registry_finds_exact_names_only() -> None:
    """A label's value picks a registered target by exact match, or nothing."""
    registry = make_registry()
    found = registry.find("alpha")
    assert found is not None
    assert found.kind is Kind.BOT
    for hostile in ("", "ALPHA", "alpha ", "alpha\n", "../alpha", "alpha'; --"):
        assert registry.find(hostile) is None


def test_registry_by_kind() -> None:
    """Kinds are asked for in the order of the file."""
    registry = make_registry()
    assert registry.one(Kind.PROMETHEUS).name == "prometheus"
    assert [target.name for target in registry.of_kind(Kind.BOT)] == ["alpha"]
    assert [target.name for target in registry.bots] == ["alpha"]
    assert len(list(registry)) == len(registry.targets)
