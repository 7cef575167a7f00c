"""Acknowledgements as they are stored: one is active, and earlier ones are kept."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.builders import NOW, make_alert, make_wanted
from trading_ops.domain.acknowledgement import Acknowledgement, AcknowledgementKind
from trading_ops.domain.decision import Close, Reason
from trading_ops.store import acknowledgements, attempts, events, incidents

HOUR = timedelta(hours=1)


@pytest.fixture
def incident(connection: Connection) -> str:
    """The id of an open incident."""
    sighting = incidents.FiringAlert(alert=make_alert(), target="alpha")
    incidents.open_all(connection, [sighting], received_at=NOW, now=NOW, source="webhook")
    (found,) = incidents.search(connection)
    return found.id


def begin(connection: Connection, incident: str, **over: Any) -> Acknowledgement | None:
    values: dict[str, Any] = {
        "incident_id": incident,
        "kind": AcknowledgementKind.ACKNOWLEDGE,
        "owner": "anna",
        "note": "on it",
        "until": NOW + HOUR,
        "now": NOW,
    }
    return acknowledgements.begin(connection, **(values | over))


def kinds(connection: Connection) -> list[str]:
    """The kinds of the events that wait to be written."""
    return [row["kind"] for row in events._pending(connection)]


def test_an_acknowledgement_is_in_force_until_it_is_ended(
    connection: Connection, incident: str
) -> None:
    """And is found by its incident, with what the alert's labels are."""
    acknowledgement = begin(connection, incident)
    assert acknowledgement is not None
    assert acknowledgements.active(connection) == {incident: acknowledgement}
    (case,) = acknowledgements.at_work(connection, now=NOW)
    assert (case.acknowledgement, case.closed_at, case.labels["alertname"]) == (
        acknowledgement,
        None,
        "BotSick",
    )
    ended = acknowledgements.end(connection, incident, owner="anna", kind="withdrawn", now=NOW)
    assert ended == acknowledgement
    assert acknowledgements.active(connection) == {}
    again = acknowledgements.end(connection, incident, owner="anna", kind="withdrawn", now=NOW)
    assert again is None
    assert kinds(connection)[-2:] == ["acknowledged", "withdrawn"]


def test_to_say_it_twice_changes_nothing(connection: Connection, incident: str) -> None:
    """A repeated request is the same word."""
    acknowledgement = begin(connection, incident)
    before = kinds(connection)
    assert begin(connection, incident, until=NOW + 2 * HOUR, now=NOW + HOUR) == acknowledgement
    assert kinds(connection) == before


def test_another_person_takes_over(connection: Connection, incident: str) -> None:
    """The former word ends; both are kept, and the silence is the new word's."""
    acknowledgement = begin(connection, incident)
    assert acknowledgement is not None
    acknowledgements.note_silence(
        connection, acknowledgement, silence_id="s", until=NOW + HOUR, now=NOW
    )
    begin(connection, incident, owner="ben", now=NOW + HOUR / 2)
    former, latter = acknowledgements.of_incident(connection, incident)
    assert (former.ended_by, former.is_active, former.silenced_until) == ("ben", False, None)
    assert (latter.owner, latter.is_active, latter.silenced_until) == ("ben", True, None)
    assert kinds(connection)[-1] == "taken_over"


def test_a_snooze_takes_the_place_of_an_acknowledgement(
    connection: Connection, incident: str
) -> None:
    """By the same person: it is another word, but no one took anything over."""
    begin(connection, incident)
    begin(connection, incident, kind=AcknowledgementKind.SNOOZE)
    assert len(acknowledgements.of_incident(connection, incident)) == 2
    assert len(acknowledgements.active(connection)) == 1
    assert kinds(connection)[-1] == "snoozed"


def test_only_an_open_incident_can_be_acknowledged(connection: Connection, incident: str) -> None:
    """Nor one that does not exist."""
    assert begin(connection, "no-such-incident") is None
    incidents.close(connection, incident, Close(reason=Reason.RESOLVED), now=NOW)
    assert begin(connection, incident) is None


def test_a_renewal_and_a_silence_are_kept(connection: Connection, incident: str) -> None:
    """A word that was ended meanwhile is not renewed, but its silence is still noted."""
    acknowledgement = begin(connection, incident)
    assert acknowledgement is not None
    acknowledgements.renew(connection, acknowledgement, until=NOW + 2 * HOUR, now=NOW)
    acknowledgements.note_silence(
        connection, acknowledgement, silence_id="s-1", until=NOW + HOUR, now=NOW
    )
    case = acknowledgements.find(connection, acknowledgement.id)
    assert case is not None
    assert (case.acknowledgement.until, case.acknowledgement.silence_id) == (NOW + 2 * HOUR, "s-1")
    acknowledgements.end(connection, incident, owner="anna", kind="withdrawn", now=NOW)
    acknowledgements.renew(connection, acknowledgement, until=NOW + 3 * HOUR, now=NOW)
    acknowledgements.note_silence(
        connection, acknowledgement, silence_id="s-2", until=NOW + HOUR, now=NOW
    )
    case = acknowledgements.find(connection, acknowledgement.id)
    assert case is not None
    assert (case.acknowledgement.until, case.acknowledgement.silence_id) == (NOW + 2 * HOUR, "s-2")


def test_an_old_acknowledgement_has_no_effect(connection: Connection, incident: str) -> None:
    """An hour after its end no rule looks back to it, unless its silence may still stand."""
    acknowledgement = begin(connection, incident)
    assert acknowledgement is not None
    acknowledgements.end(connection, incident, owner="anna", kind="withdrawn", now=NOW)
    assert acknowledgements.at_work(connection, now=NOW + HOUR / 2)
    assert not acknowledgements.at_work(connection, now=NOW + 2 * HOUR)
    acknowledgements.note_silence(
        connection, acknowledgement, silence_id="s", until=NOW + 3 * HOUR, now=NOW
    )
    assert acknowledgements.at_work(connection, now=NOW + 3 * HOUR)
    acknowledgements.note_silence(connection, acknowledgement, silence_id="s", until=None, now=NOW)
    assert not acknowledgements.at_work(connection, now=NOW + 3 * HOUR)


def test_nothing_starts_on_what_someone_took_meanwhile(
    connection: Connection, incident: str
) -> None:
    """Between deciding and starting an operator may speak: the transaction looks again."""
    found = incidents.find(connection, incident)
    assert found is not None
    plan = attempts.StartRequest(gate_input=make_wanted(found))
    begin(connection, incident)
    assert attempts.start(connection, plan, now=NOW) is None
    acknowledgements.end(connection, incident, owner="anna", kind="withdrawn", now=NOW)
    assert attempts.start(connection, plan, now=NOW) is not None
