"""What two sources together say of an alert: absence is believed only with a second word."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests import builders
from tests.builders import LABELS, NOW, ago, make_attempt, make_incident, make_runbook, make_target
from trading_ops.domain.alert import fingerprint_of
from trading_ops.domain.attempt import Attempt, AttemptState
from trading_ops.domain.decision import AlertState
from trading_ops.domain.incident import Incident
from trading_ops.domain.observation import (
    AlertSnapshot,
    PrometheusView,
    RoutedAlert,
    RuleAlert,
    alert_state,
    blocking,
    is_audible,
    why_not_resolvable,
)

KEY = fingerprint_of(LABELS)
VERIFIED = make_attempt(state=AttemptState.VERIFIED, verified_at=ago(5))


def rule(labels: dict[str, str] = LABELS, *, firing: bool = True) -> RuleAlert:
    return RuleAlert(
        fingerprint=fingerprint_of(labels),
        labels=labels,
        annotations={},
        firing=firing,
        active_at=ago(12),
    )


WATCHDOG = rule(builders.WATCHDOG)


HOURS_AGO = ago(3600)


def prometheus(*alerts: RuleAlert, started_at: datetime = HOURS_AGO) -> PrometheusView:
    found = {alert.fingerprint: alert for alert in (*alerts, WATCHDOG)}
    return PrometheusView(alerts=found, started_at=started_at)


def routed(**over: Any) -> RoutedAlert:
    values: dict[str, Any] = {
        "fingerprint": KEY,
        "labels": LABELS,
        "annotations": {},
        "starts_at": ago(10),
        "ends_at": NOW + timedelta(minutes=4),
        "silenced": False,
        "inhibited": False,
    }
    return RoutedAlert(**(values | over))


YOUNG = prometheus(started_at=ago(30))
SILENT = PrometheusView(alerts={}, started_at=ago(3600))


@pytest.mark.parametrize(
    ("rules", "alertmanager", "incident", "last", "expected"),
    [
        pytest.param(None, {}, {}, None, AlertState.UNKNOWN, id="Prometheus is out of reach"),
        pytest.param(prometheus(), None, {}, None, AlertState.UNKNOWN, id="no Alertmanager"),
        pytest.param(SILENT, {}, {}, None, AlertState.UNKNOWN, id="no Watchdog: rules do not run"),
        pytest.param(
            prometheus(rule()), {KEY: routed()}, {}, None, AlertState.FIRING, id="both say firing"
        ),
        pytest.param(
            prometheus(rule(firing=False)), {}, {}, None, AlertState.PENDING, id="not firing yet"
        ),
        pytest.param(
            prometheus(rule()), {}, {}, None, AlertState.UNKNOWN, id="a silence could be hidden"
        ),
        pytest.param(
            prometheus(rule()),
            {KEY: routed(silenced=True, inhibited=True)},
            {},
            None,
            AlertState.SILENCED,
            id="silenced",
        ),
        pytest.param(
            prometheus(rule()),
            {KEY: routed(inhibited=True)},
            {},
            None,
            AlertState.INHIBITED,
            id="inhibited",
        ),
        pytest.param(prometheus(), {}, {}, None, AlertState.ABSENT, id="gone from both"),
        pytest.param(
            prometheus(), {KEY: routed()}, {}, None, AlertState.UNKNOWN, id="the sources disagree"
        ),
        pytest.param(
            prometheus(),
            {KEY: routed(ends_at=ago(1))},
            {},
            None,
            AlertState.ABSENT,
            id="Alertmanager's has ended",
        ),
        pytest.param(YOUNG, {}, {}, None, AlertState.UNKNOWN, id="too young to know"),
        pytest.param(
            PrometheusView(
                alerts=prometheus().alerts,
                started_at=ago(-3600),
                known_for=timedelta(minutes=2),
            ),
            {},
            {},
            None,
            AlertState.ABSENT,
            id="its start is known for long, and a clock has stepped back",
        ),
        pytest.param(YOUNG, {}, {}, VERIFIED, AlertState.ABSENT, id="young, but verified"),
        pytest.param(YOUNG, {}, {}, make_attempt(), AlertState.UNKNOWN, id="young, fix failed"),
        pytest.param(
            YOUNG,
            {},
            {"resolved_at": ago(2)},
            None,
            AlertState.ABSENT,
            id="young, but reported resolved",
        ),
        pytest.param(
            YOUNG,
            {},
            {"resolved_at": ago(60)},
            None,
            AlertState.UNKNOWN,
            id="resolved of an earlier episode",
        ),
    ],
)
def test_view(
    rules: PrometheusView | None,
    alertmanager: dict[Any, RoutedAlert] | None,
    incident: dict[str, Any],
    last: Attempt | None,
    expected: AlertState,
) -> None:
    """Each pair of answers means one thing."""
    snapshot = AlertSnapshot(
        at=NOW,
        prometheus=rules,
        alertmanager=alertmanager,
        before=prometheus(),
        fired={"incident-1"},
    )
    seen: Incident = make_incident(**incident)
    assert alert_state(seen, last, snapshot) is expected


@pytest.mark.parametrize(
    ("before", "fired", "received_at", "last", "expected"),
    [
        pytest.param(None, {"incident-1"}, ago(60), None, AlertState.UNKNOWN, id="first answer"),
        pytest.param(
            prometheus(rule()), {"incident-1"}, ago(60), None, AlertState.UNKNOWN, id="seen once"
        ),
        pytest.param(prometheus(), set(), ago(9), None, AlertState.UNKNOWN, id="never shown"),
        pytest.param(prometheus(), set(), ago(30), None, AlertState.ABSENT, id="never, for long"),
        pytest.param(
            prometheus(), set(), ago(-3600), None, AlertState.ABSENT, id="the clock stepped back"
        ),
        pytest.param(None, set(), ago(9), VERIFIED, AlertState.ABSENT, id="verified"),
    ],
)
def test_an_absence_must_be_newer_than_the_notification_and_seen_twice(
    before: PrometheusView | None,
    fired: set[str],
    received_at: datetime,
    last: Attempt | None,
    expected: AlertState,
) -> None:
    """A cache before Prometheus may still answer what was true before the alert came."""
    snapshot = AlertSnapshot(
        at=NOW, prometheus=prometheus(), alertmanager={}, before=before, fired=fired
    )
    assert alert_state(make_incident(received_at=received_at), last, snapshot) is expected


@pytest.mark.parametrize(
    ("fired_since_start", "before", "expected"),
    [
        pytest.param({"incident-1"}, prometheus(), AlertState.ABSENT, id="fired, and has ended"),
        pytest.param({"incident-1"}, prometheus(rule()), AlertState.UNKNOWN, id="only once"),
        pytest.param(set(), prometheus(), AlertState.UNKNOWN, id="fired before it started"),
    ],
)
def test_a_young_prometheus_is_believed_about_what_fired_since_it_started(
    fired_since_start: set[str], before: PrometheusView, expected: AlertState
) -> None:
    """Alertmanager does not tell the end of an inhibited alert, so no other source would."""
    snapshot = AlertSnapshot(
        at=NOW,
        prometheus=YOUNG,
        alertmanager={},
        before=before,
        fired={"incident-1"},
        fired_since_start=fired_since_start,
    )
    assert alert_state(make_incident(received_at=ago(60)), None, snapshot) is expected


@pytest.mark.parametrize("rules", [prometheus(rule()), prometheus()])
def test_nothing_is_believed_while_a_clock_has_just_stepped(rules: PrometheusView) -> None:
    """Neither that an alert fires, nor that it has ended."""
    routes = {KEY: routed()} if KEY in rules.alerts else {}
    snapshot = AlertSnapshot(
        at=NOW, prometheus=rules, alertmanager=routes, before=prometheus(), unsettled=True
    )
    assert alert_state(make_incident(), VERIFIED, snapshot) is AlertState.UNKNOWN


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"alertname": "VenueDown", "venue": "paper"}, ("VenueDown",)),
        ({"alertname": "VenueDown", "bot": "alpha"}, ("VenueDown",)),
        ({"alertname": "VenueDown", "venue": "other"}, ()),
        ({"alertname": "VenueDown", "bot": "beta", "venue": "paper"}, ()),
        ({"alertname": "Unrelated", "venue": "paper"}, ()),
    ],
)
@pytest.mark.parametrize("firing", [True, False])
def test_blocking(labels: dict[str, str], expected: tuple[str, ...], *, firing: bool) -> None:
    """An `unless` alert blocks its own target and its venue's, pending or firing."""
    snapshot = AlertSnapshot(
        at=NOW, prometheus=prometheus(rule(labels, firing=firing)), alertmanager={}
    )
    assert blocking(make_runbook(), make_target(), snapshot) == expected


def test_nothing_blocks_when_prometheus_is_out_of_reach() -> None:
    """The view is unknown then, which already stops everything."""
    snapshot = AlertSnapshot(at=NOW, prometheus=None, alertmanager={})
    assert blocking(make_runbook(), make_target(), snapshot) == ()


@pytest.mark.parametrize(
    ("rules", "alertmanager", "expected"),
    [
        pytest.param(None, {}, False, id="no Prometheus"),
        pytest.param(prometheus(rule()), None, False, id="no Alertmanager"),
        pytest.param(prometheus(), {}, False, id="no alert"),
        pytest.param(prometheus(rule(firing=False)), {}, False, id="pending"),
        pytest.param(prometheus(rule()), {}, True, id="unknown to Alertmanager"),
        pytest.param(prometheus(rule()), {KEY: routed()}, True, id="firing"),
        pytest.param(prometheus(rule()), {KEY: routed(silenced=True)}, False, id="silenced"),
    ],
)
def test_an_audible_alert_fires_and_has_no_silence(
    rules: PrometheusView | None, alertmanager: dict[Any, RoutedAlert] | None, *, expected: bool
) -> None:
    """Both sources must answer."""
    snapshot = AlertSnapshot(at=NOW, prometheus=rules, alertmanager=alertmanager)
    assert is_audible(make_incident(), snapshot) is expected


LATER = NOW + timedelta(seconds=1)
"""After the incident was received."""


@pytest.mark.parametrize(
    ("snapshot", "why"),
    [
        (None, "not been checked"),
        (AlertSnapshot(at=ago(3600), prometheus=prometheus(), alertmanager={}), "not been checked"),
        (AlertSnapshot(at=LATER, prometheus=None, alertmanager={}), "does not answer"),
        (AlertSnapshot(at=LATER, prometheus=prometheus(rule()), alertmanager={}), "is firing"),
        (
            AlertSnapshot(at=LATER, prometheus=prometheus(rule(firing=False)), alertmanager={}),
            "is pending",
        ),
        (AlertSnapshot(at=LATER, prometheus=prometheus(), alertmanager={KEY: routed()}), ""),
        (AlertSnapshot(at=LATER, prometheus=prometheus(), alertmanager=None), ""),
    ],
    ids=["never", "older", "unreachable", "firing", "pending", "in Alertmanager", "no routes"],
)
def test_an_operator_resolves_what_prometheus_does_not_show(
    snapshot: AlertSnapshot | None, why: str
) -> None:
    """Whatever Alertmanager says."""
    refusal = why_not_resolvable(make_incident(), snapshot)
    assert why in refusal
    assert bool(refusal) == bool(why)
