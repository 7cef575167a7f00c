"""Text from outside that a database could choke on: it is stored, found again, and stops no one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import BigInteger, Boolean, Connection, Engine, Integer, LargeBinary

from tests.builders import LABELS, NOW, make_alert, make_wanted
from tests.open_incidents import open_incidents
from trading_ops.domain.acknowledgement import AcknowledgementKind
from trading_ops.domain.attempt import AttemptState
from trading_ops.domain.decision import Close, Escalate, Pause, Reason
from trading_ops.domain.hold import HeldState, Hold
from trading_ops.domain.maintenance import Maintenance
from trading_ops.domain.message import MessageKind, Severity
from trading_ops.store import (
    acknowledgements,
    approvals,
    attempts,
    events,
    holds,
    incidents,
    maintenance,
    messages,
    notifications,
)
from trading_ops.store.engine import StorableJson, StorableText, Timestamp, storable
from trading_ops.store.tables import metadata
from trading_ops.store.writer import transaction

TEXTS = {
    "a NUL": "a\0b",
    "only a NUL": "\0",
    "half a surrogate pair": "a\ud800b",
    "the other half": "\udfff",
    "right to left": "\u202egnirts\u2066",
    "an emoji of several": "👩\u200d👩\u200d👧 🏴\U000e0067\U000e007f",
    "an apostrophe and a semicolon": "'; DROP TABLE events; --",
    "a format": "%s %(x)s {0} :name \\ $1 ?",
    "a line break and a bell": "a\r\nb\x07\x7f\x85\u2028",
    "no character": "\ufffe\uffff",
}
# What is not on its own here is in a row with the others: a database for each would take minutes.
HOSTILE = {
    "a NUL": "\0",
    "half a surrogate pair": "\ud800",
    "a row of all": " ".join(TEXTS.values()),
    "a megabyte": "x" * 1_000_000 + "\0",
}

hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)


def test_every_text_column_is_of_the_type_that_stores_anything() -> None:
    """A column that someone adds as plain text would refuse a NUL on PostgreSQL only."""
    plain = [
        str(column)
        for table in metadata.tables.values()
        for column in table.columns
        if type(column.type)
        not in (StorableText, StorableJson, Timestamp, BigInteger, Integer, Boolean, LargeBinary)
    ]
    assert plain == []


@pytest.mark.parametrize("text", (TEXTS | HOSTILE).values(), ids=TEXTS | HOSTILE)
def test_what_can_be_stored_is_left_as_it_is(text: str) -> None:
    """Only what no database stores is replaced, and replacing again changes nothing."""
    stored = storable(text)
    assert storable(stored) == stored
    assert stored.encode()
    assert "\0" not in stored
    if "\0" not in text and _is_unicode(text):
        assert stored == text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _opened(connection: Connection, text: str) -> str:
    # What is no Unicode comes no further than the parser, which is strict about it.
    label = text if _is_unicode(text) else "\0"
    labels = LABELS | {"note": label, label[:100]: "x"}
    alert = make_alert(labels=labels, annotations={"summary": text})
    sighting = incidents.FiringAlert(alert=alert, target="alpha")
    opened = incidents.open_all(connection, [sighting], received_at=NOW, now=NOW, source=text)
    assert opened.opened == 1
    found = open_incidents(connection)[0]
    assert found.annotations["summary"] == storable(text)
    assert found.labels["note"] == storable(label)
    assert found.labels[storable(label[:100])] == "x"
    again = incidents.open_all(connection, [sighting], received_at=NOW, now=NOW, source=text)
    assert again.opened == 0, "a duplicate finds it"
    return found.id


def _notification(connection: Connection, text: str) -> None:
    key = notifications.add(connection, received_at=NOW, body=text.encode("utf-8", "surrogatepass"))
    notifications.finish(connection, key, notifications.NotificationState.QUARANTINED, error=text)
    assert notifications.count(connection, notifications.NotificationState.QUARANTINED) == 1


def _incident(connection: Connection, text: str) -> None:
    key = _opened(connection, text)
    assert incidents.escalate(connection, key, Escalate(reason=Reason.STORM, note=text), now=NOW)
    assert incidents.close(connection, key, Close(reason=Reason.RESOLVED, note=text), now=NOW)
    assert incidents.search(connection, target=text) == []
    assert incidents.search(connection, alert=text) == []
    assert incidents.find(connection, "x" + text[:1000]) is None


def _attempt(connection: Connection, text: str) -> None:
    key = _opened(connection, text)
    incident = incidents.find(connection, key)
    assert incident is not None
    plan = attempts.StartRequest(gate_input=replace(make_wanted(incident), target="alpha"))
    attempt = attempts.start(connection, plan, now=NOW)
    assert attempt is not None
    only = (AttemptState.STARTED,)
    state = AttemptState.FAILED
    assert attempts.finish(connection, attempt, state, detail=text, now=NOW, only_from=only)
    assert attempts.of_incident(connection, key)[0].detail == storable(text)
    attempts.reset_budget(connection, "alpha", owner=text, reason=text, now=NOW)


def _pause(connection: Connection, text: str) -> None:
    pause = Pause(owner=text, reason=text, expires_at=NOW + timedelta(minutes=1))
    maintenance.begin_pause(connection, pause, now=NOW)
    active = maintenance.current_pause(connection, now=NOW)
    assert active is not None
    assert (active.owner, active.reason) == (storable(text), storable(text))
    assert maintenance.end_pause(connection, owner=text, now=NOW) == 1


def _maintenance(connection: Connection, text: str) -> None:
    window = Maintenance(
        target=text, owner=text, reason=text, begins_at=NOW, ends_at=NOW + timedelta(minutes=1)
    )
    begun = maintenance.begin(connection, window, now=NOW)
    assert begun.id is not None
    assert [window.reason for window in maintenance.current(connection, now=NOW)] == [
        storable(text)
    ]
    assert maintenance.end(connection, begun.id, owner=text, now=NOW)


def _hold(connection: Connection, text: str) -> None:
    hold = Hold(
        id=text[:100], target="alpha", state=HeldState.HALTED, owner=text, reason=text, at=NOW
    )
    assert holds.place(connection, hold, now=NOW)
    assert not holds.place(connection, hold, now=NOW), "placed again it is the same"
    assert [hold.reason for hold in holds.active(connection)] == [storable(text)]
    released = holds.release(connection, ids=[text[:100]], owner=text, reason=text, now=NOW)
    assert len(released) == 1


def _approval(connection: Connection, text: str) -> None:
    asked = approvals.request(
        connection,
        incident_id=None,
        action=text,
        target=text,
        params={"note": text},
        step=None,
        requested_by=text,
        now=NOW,
    )
    assert asked.params == {"note": storable(text)}
    approvals.approve(connection, asked.id, owner="another operator", now=NOW)


def _acknowledgement(connection: Connection, text: str) -> None:
    key = _opened(connection, text)
    acknowledgement = acknowledgements.begin(
        connection,
        incident_id=key,
        kind=AcknowledgementKind.ACKNOWLEDGE,
        owner=text,
        note=text,
        until=NOW + timedelta(minutes=5),
        now=NOW,
    )
    assert acknowledgement is not None
    acknowledgements.note_silence(connection, acknowledgement, silence_id=text, until=NOW, now=NOW)
    assert acknowledgements.of_incident(connection, key)[0].note == storable(text)


def _message(connection: Connection, text: str) -> None:
    draft = messages.Draft(
        key=text,
        kind=MessageKind.HOLD,
        severity=Severity.INFO,
        bot=text,
        route=text,
        channel="mail",
        subject=text,
        text=text,
        html=text,
        digest=True,
        due_at=NOW,
    )
    assert messages.store(connection, [draft, draft], now=NOW, source="events", read=(None, 1))
    assert messages.cursor(connection, "events") == 1
    batch = messages.claim(connection, "mail", hourly=9, now=NOW)
    assert batch is not None
    assert batch.messages[0].text == storable(text)
    assert not messages.failed(connection, batch, error=text, now=NOW)
    messages.retry(connection, batch.messages[0].id, owner=text, now=NOW)
    messages.discard(connection, batch.messages[0].id, owner=text, now=NOW)
    messages.prune(connection, before=NOW + timedelta(days=1), now=NOW)


def _event(connection: Connection, text: str) -> None:
    events.add(
        connection,
        at=NOW,
        kind="test",
        actor=text,
        reason=text,
        note=text,
        before={"said": text},
        after={text[:100]: text},
    )


USES = [
    _notification,
    _incident,
    _attempt,
    _pause,
    _maintenance,
    _hold,
    _approval,
    _acknowledgement,
    _message,
    _event,
]
"""Everything that is done with text, one aggregate each."""


@hostile
@pytest.mark.parametrize(
    "use",
    USES,
    ids=lambda use: use.__name__.strip("_"),
)
def test_hostile_text_is_stored_and_found(
    engine: Engine, use: Callable[[Connection, str], None], text: str
) -> None:
    """Through every function that takes text, whole: with its events, chained and committed."""
    with transaction(engine, b"key") as connection:
        use(connection, text)
    with engine.begin() as connection:
        assert events.latest(connection, limit=1) or use is _notification
