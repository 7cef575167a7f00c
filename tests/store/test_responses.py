"""How incidents were answered, and how long it took, on real rows."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, insert

from tests.builders import NOW, ago
from trading_ops.reports.recovery_times import recovery_times, spread
from trading_ops.store import tables

UNTIL = NOW + timedelta(hours=1)


def incident(connection: Connection, key: str, **over: object) -> str:
    values = {
        "id": key,
        "fingerprint": key,
        "alert": "BotSick",
        "labels": {},
        "annotations": {},
        "starts_at": ago(100),
        "received_at": ago(100),
        "opened_at": ago(100),
    }
    connection.execute(insert(tables.incidents).values(values | over))
    return key


def attempt(connection: Connection, incident_id: str, state: str, at: datetime) -> None:
    connection.execute(
        insert(tables.attempts).values(
            id=f"{incident_id}-{state}-{at}",
            incident_id=incident_id,
            runbook="BotSick",
            target=incident_id,
            action="reconnect_broker",
            params={},
            step=0,
            delivery="idempotent",
            fence=1,
            state=state,
            started_at=at,
        )
    )


def acknowledge(connection: Connection, incident_id: str, at: datetime, until: datetime) -> None:
    connection.execute(
        insert(tables.acknowledgements).values(
            incident_id=incident_id,
            kind="acknowledge",
            owner="ada",
            note="",
            at=at,
            until=until,
            ended_at=until,
        )
    )


def test_each_alert_has_its_times(connection: Connection) -> None:
    """Remediated, escalated, acknowledged, ended on its own and still open are distinguished."""
    remediated = incident(connection, "remediated", closed_at=ago(80))
    attempt(connection, remediated, "failed", ago(98))
    attempt(connection, remediated, "verified", ago(90))
    late = incident(connection, "late", escalated_at=ago(50), closed_at=ago(20))
    attempt(connection, late, "verified", ago(95))
    person = incident(connection, "person", escalated_at=ago(50))
    acknowledge(connection, person, ago(40), ago(30))
    acknowledge(connection, person, ago(60), ago(50))
    attempt(connection, person, "unverified", ago(55))
    incident(connection, "itself", alert="Other", closed_at=ago(60))
    incident(connection, "before", opened_at=ago(1000))
    incident(connection, "after", opened_at=UNTIL)

    found = recovery_times(connection, since=ago(100), until=UNTIL)
    bot, other = found.alerts
    assert (bot.alert, bot.incidents, bot.open, bot.remediated, bot.escalated) == (
        "BotSick",
        3,
        1,
        1,
        2,
    )
    assert bot.first_response == spread([2.0, 5.0, 40.0])
    assert bot.close == spread([20.0, 80.0])
    assert (other.alert, other.remediated, other.first_response.count) == ("Other", 0, 0)
    assert other.close.worst_seconds == 40.0
    assert (found.total.incidents, found.total.close.count) == (4, 3)


def test_an_empty_span_has_no_times(connection: Connection) -> None:
    """Nothing happened: no zero is invented."""
    found = recovery_times(connection, since=NOW, until=NOW)
    assert found.alerts == ()
    assert found.total.close.mean_seconds is None


def test_the_spread_of_some_seconds() -> None:
    """The 95th percentile is one of those that were measured."""
    found = spread(float(number) for number in range(100, 0, -1))
    assert (found.mean_seconds, found.median_seconds) == (50.5, 50.5)
    assert (found.p95_seconds, found.worst_seconds) == (95.0, 100.0)
    assert spread([3.0]).p95_seconds == 3.0
