"""The state tells which incidents are not as before: as few as may be, for each is looked at."""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from tests.builders import NOW, make_alert
from tests.open_incidents import open_incidents
from trading_ops.domain.decision import Close, Escalate, GlobalLimits, Pause, Reason
from trading_ops.reconciler.state import ReconcilerState, read_state
from trading_ops.store import audit_chain, incidents, maintenance


def read(connection: Connection, former: ReconcilerState | None = None) -> ReconcilerState:
    audit_chain.write(connection, b"")
    return read_state(connection, limits=GlobalLimits(), now=NOW, former=former)


def test_what_was_closed_is_known_as_if_all_were_read_again(connection: Connection) -> None:
    """Known before or opened and closed in between; what is too long ago is forgotten."""
    limits = GlobalLimits()

    def both(former: ReconcilerState | None, now: datetime) -> ReconcilerState:
        audit_chain.write(connection, b"")
        again = read_state(connection, limits=limits, now=now, former=former)
        assert again.closed == read_state(connection, limits=limits, now=now).closed
        return again

    def opened(*keys: str) -> None:
        sightings = [
            incidents.FiringAlert(alert=make_alert(fingerprint=key), target="alpha") for key in keys
        ]
        incidents.open_all(connection, sightings, received_at=NOW, now=NOW, source="test")

    def closed(key: str, now: datetime) -> None:
        (incident,) = (
            incident for incident in open_incidents(connection) if incident.fingerprint == key
        )
        incidents.close(connection, incident.id, Close(reason=Reason.RECOVERED), now=now)

    opened("a", "b", "c")
    state = both(None, NOW)
    assert state.closed == ()
    closed("b", NOW)
    state = both(state, NOW)
    later = NOW + limits.storm_quiet / 2
    opened("d")
    closed("d", later)
    closed("a", later + timedelta(seconds=1))
    state = both(state, later)
    assert [incident.fingerprint for incident in state.closed] == ["b", "d", "a"]
    opened("e")
    state = both(state, NOW + limits.storm_quiet)
    assert [incident.fingerprint for incident in state.closed] == ["d", "a"]
    assert both(state, NOW + limits.storm_quiet).closed == state.closed


def test_what_names_no_target_changes_alone(connection: Connection) -> None:
    """In a storm of them, each change would have all the others looked at again."""
    sightings = [
        incidents.FiringAlert(alert=make_alert(fingerprint=key), target=target)
        for key, target in (("a", None), ("b", None), ("c", "alpha"), ("d", "alpha"))
    ]
    incidents.open_all(connection, sightings, received_at=NOW, now=NOW, source="test")
    first = read(connection)
    by_key = {str(incident.fingerprint): key for key, incident in first.by_id.items()}
    decision = Escalate(reason=Reason.NO_RUNBOOK)
    incidents.escalate(connection, by_key["a"], decision, now=NOW)
    second = read(connection, first)
    assert second.changed == {by_key["a"]}
    incidents.escalate(connection, by_key["c"], decision, now=NOW)
    third = read(connection, second)
    assert third.changed == {by_key["c"], by_key["d"]}
    maintenance.begin_pause(connection, Pause(owner="ada", reason="x", expires_at=NOW), now=NOW)
    assert read(connection, third).changed == set(by_key.values())
