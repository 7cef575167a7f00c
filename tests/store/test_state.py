"""The state tells which incidents are not as before: as few as may be, for each is looked at."""

from sqlalchemy import Connection

from tests.builders import NOW, make_alert
from trading_ops.domain.decision import Escalate, GlobalLimits, Pause, Reason
from trading_ops.reconciler.state import State, read_state
from trading_ops.store import events, incidents, pauses


def read(connection: Connection, former: State | None = None) -> State:
    events.write(connection, b"")
    return read_state(connection, limits=GlobalLimits(), now=NOW, former=former)


def test_what_names_no_target_changes_alone(connection: Connection) -> None:
    """In a storm of them, each change would have all the others looked at again."""
    sightings = [
        incidents.Sighting(alert=make_alert(fingerprint=key), target=target)
        for key, target in (("a", None), ("b", None), ("c", "alpha"), ("d", "alpha"))
    ]
    incidents.open_all(connection, sightings, received_at=NOW, now=NOW, source="test")
    first = read(connection)
    by_key = {str(one.fingerprint): key for key, one in first.by_id.items()}
    decision = Escalate(reason=Reason.NO_RUNBOOK)
    incidents.escalate(connection, by_key["a"], decision, now=NOW)
    second = read(connection, first)
    assert second.changed == {by_key["a"]}
    incidents.escalate(connection, by_key["c"], decision, now=NOW)
    third = read(connection, second)
    assert third.changed == {by_key["c"], by_key["d"]}
    pauses.begin(connection, Pause(owner="ada", reason="x", expires_at=NOW), now=NOW)
    assert read(connection, third).changed == set(by_key.values())
