"""Acknowledgements: stored first, then projected to an Alertmanager that may be unavailable."""

import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

import aiohttp
import pytest

from tests.builders import NOW, make_alert, make_registry, make_runbook
from tests.open_incidents import open_incidents
from tests.silences import FakeAlertmanager, ends_at
from trading_ops import clock
from trading_ops.clients.alertmanager import Alertmanager, Alertmanagers
from trading_ops.clients.http import Http
from trading_ops.domain.acknowledgement import Acknowledgement
from trading_ops.domain.decision import Close, Reason
from trading_ops.domain.incident import Incident
from trading_ops.errors import RequestRefused
from trading_ops.reconciler.acknowledgements import AcknowledgementSync
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.store import Connection, acknowledgements, events, incidents
from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

T = TypeVar("T")

MINUTE = timedelta(minutes=1)
GAUGE = "trading_ops_acknowledged_until_timestamp_seconds"


@dataclass
class Office:
    """The store of acknowledgements, a clock that a test moves, and the Alertmanager."""

    acknowledging: AcknowledgementSync
    alertmanager: FakeAlertmanager
    writer: Writer
    reader: Reader
    incident: Incident
    now: datetime = field(default=NOW)

    async def passes(self, *, later: timedelta = timedelta(), seconds: int = 0) -> None:
        """Let the clock continue and make one pass, as the loop does."""
        self.now += later + timedelta(seconds=seconds)
        open_ones = await self.reader.read(open_incidents)
        head = await self.reader.read(events.head)
        await self.acknowledging.sync(open_ones, head=head)

    async def acknowledgements(self) -> list[Acknowledgement]:
        """Return all words about the incident."""

        def read(connection: Connection) -> list[Acknowledgement]:
            return acknowledgements.of_incident(connection, self.incident.id)

        return await self.reader.read(read)

    async def close(self) -> None:
        """End the incident, as the loop does."""

        def end(connection: Connection) -> None:
            close = Close(reason=Reason.RESOLVED)
            incidents.close(connection, self.incident.id, close, now=self.now)

        await self.writer.run(end)

    def shown(self) -> float:
        """Return what the metric says; NaN: nothing."""
        labels = {"origin": "BotSick", "bot": "alpha", "venue": "paper", "subject": ""}
        value = self.acknowledging.metrics.registry.get_sample_value(GAUGE, labels)
        return math.nan if value is None else value

    def restarted(self) -> "Office":
        """Return the same office after a crash: nothing but the database is left."""
        former = self.acknowledging
        again = AcknowledgementSync(
            writer=self.writer,
            reader=self.reader,
            alertmanagers=former.alertmanagers,
            index=former.index,
            metrics=ReconcilerMetrics(),
        )
        office = Office(again, self.alertmanager, self.writer, self.reader, self.incident, self.now)
        again.now = lambda: office.now
        return office


@pytest.fixture
async def office(sqlite_url: str) -> AsyncIterator[Office]:
    """Open it, with one incident that no one has acknowledged."""
    writer, reader = Writer(writing_engine(sqlite_url)), Reader(reading_engine(sqlite_url))
    writer.start()
    alertmanager = FakeAlertmanager()
    server = alertmanager.server()
    await server.start_server()
    try:
        async with aiohttp.ClientSession() as session:
            http = Http(session, f"http://127.0.0.1:{server.port}")
            acknowledging = AcknowledgementSync(
                writer=writer,
                reader=reader,
                alertmanagers=Alertmanagers([Alertmanager(http)]),
                index=RunbookIndex({"BotSick": make_runbook()}, make_registry()),
                metrics=ReconcilerMetrics(),
            )
            incident = await writer.run(_open_incident)
            office = Office(acknowledging, alertmanager, writer, reader, incident)
            acknowledging.now = lambda: office.now
            yield office
    finally:
        await server.close()
        reader.close()
        writer.stop()


def _open_incident(connection: Connection) -> Incident:
    sighting = incidents.FiringAlert(alert=make_alert(), target="alpha")
    incidents.open_all(connection, [sighting], received_at=NOW, now=NOW, source="webhook")
    (incident,) = incidents.search(connection)
    return incident


async def test_to_acknowledge_is_a_short_silence_on_every_label(office: Office) -> None:
    """By the person's own name, with the incident's id in its comment; and the metric."""
    done = await office.acknowledging.acknowledge(office.incident.id, owner="anna", note="on it")
    assert done.error is None
    (silence,) = office.alertmanager.active
    matched = {
        matcher["name"]: (matcher["value"], matcher["isRegex"]) for matcher in silence["matchers"]
    }
    assert matched == {
        "alertname": ("BotSick|TradingAlertPersists", True),
        "origin": ("(BotSick)?", True),
        "bot": ("alpha", False),
        "venue": ("paper", False),
        "severity": ("critical", False),
    }
    assert all(matcher["isEqual"] for matcher in silence["matchers"])
    assert silence["createdBy"] == "anna"
    assert office.incident.id in silence["comment"]
    assert "on it" in silence["comment"]
    assert ends_at(silence) == NOW + 10 * MINUTE
    (acknowledgement,) = await office.acknowledgements()
    assert (acknowledgement.silence_id, acknowledgement.silenced_until) == (
        silence["id"],
        NOW + 10 * MINUTE,
    )
    assert office.shown() == (NOW + 60 * MINUTE).timestamp()


@pytest.mark.parametrize("keeps_ids", [True, False])
async def test_it_is_extended_while_the_incident_is_open(office: Office, keeps_ids: bool) -> None:
    """Whether Alertmanager keeps the id or gives another: there is one, the one stored."""
    office.alertmanager.keeps_ids = keeps_ids
    await office.acknowledging.acknowledge(office.incident.id, owner="anna")
    for _ in range(90):
        await office.passes(later=MINUTE)
        (silence,) = office.alertmanager.active
        assert ends_at(silence) - office.now >= 4 * MINUTE
        (acknowledgement,) = await office.acknowledgements()
        assert acknowledgement.silence_id == silence["id"]
        assert acknowledgement.until - office.now >= 29 * MINUTE
    assert office.shown() == acknowledgement.until.timestamp()
    assert office.alertmanager.posts <= 20


async def test_a_silence_that_alertmanager_has_lost_is_placed_again(office: Office) -> None:
    """At the next pass after a look that showed it, once, and not for an older look."""
    before = clock.monotonic()
    await office.acknowledging.acknowledge(office.incident.id, owner="anna")
    office.acknowledging.note_lost_silences([office.incident.id], queried_at=before)
    await office.passes(seconds=1)
    assert office.alertmanager.posts == 1
    office.alertmanager.silences.clear()
    office.acknowledging.note_lost_silences([office.incident.id], queried_at=clock.monotonic())
    await office.passes(seconds=1)
    (silence,) = office.alertmanager.active
    (acknowledgement,) = await office.acknowledgements()
    assert acknowledgement.silence_id == silence["id"]
    await office.passes(seconds=1)
    assert office.alertmanager.posts == 2


async def test_a_lost_silence_of_a_snooze_is_placed_again(office: Office) -> None:
    await office.acknowledging.acknowledge(
        office.incident.id, kind="snooze", owner="anna", for_=60 * MINUTE
    )
    office.alertmanager.silences.clear()
    office.acknowledging.note_lost_silences([office.incident.id], queried_at=clock.monotonic())
    await office.passes(seconds=1)
    (silence,) = office.alertmanager.active
    assert ends_at(silence) == NOW + 60 * MINUTE


async def test_it_goes_when_the_incident_ends(office: Office) -> None:
    """Silence and metric at the next pass; the word is kept with who ended it."""
    await office.acknowledging.acknowledge(office.incident.id, owner="anna")
    await office.close()
    await office.passes(seconds=1)
    assert not office.alertmanager.active
    assert office.shown() == 0
    (acknowledgement,) = await office.acknowledgements()
    assert (acknowledgement.ended_by, acknowledgement.silenced_until) == ("reconciler", None)


async def test_to_withdraw_expires_the_silence_at_once(office: Office) -> None:
    """The metric goes to 0, for the rule looks at it; no one can withdraw twice."""
    await office.acknowledging.acknowledge(office.incident.id, owner="anna")
    await office.acknowledging.unacknowledge(office.incident.id, owner="anna")
    assert not office.alertmanager.active
    assert office.shown() == 0
    with pytest.raises(RequestRefused, match="not acknowledged"):
        await office.acknowledging.unacknowledge(office.incident.id, owner="anna")


async def test_a_snooze_lasts_as_long_as_was_reported(office: Office) -> None:
    """One silence for just that long; then the word is over and its end stays to be seen."""
    await office.acknowledging.acknowledge(
        office.incident.id, kind="snooze", owner="anna", for_=40 * MINUTE
    )
    for _ in range(39):
        await office.passes(later=MINUTE)
    (silence,) = office.alertmanager.active
    assert ends_at(silence) == NOW + 40 * MINUTE
    assert office.alertmanager.posts == 1
    await office.passes(later=2 * MINUTE)
    (acknowledgement,) = await office.acknowledgements()
    assert not acknowledgement.is_active
    assert office.shown() == (NOW + 40 * MINUTE).timestamp()
    assert not office.alertmanager.active


async def test_another_person_takes_over(office: Office) -> None:
    """The same silence, by another name; the former word is in the timeline."""
    await office.acknowledging.acknowledge(office.incident.id, owner="anna")
    await office.acknowledging.acknowledge(office.incident.id, owner="ben")
    (silence,) = office.alertmanager.active
    assert silence["createdBy"] == "ben"
    former, latter = await office.acknowledgements()
    assert (former.ended_by, latter.silence_id) == ("ben", silence["id"])
    await office.passes(seconds=20)
    (silence,) = office.alertmanager.active
    assert silence["createdBy"] == "ben"


async def test_a_snooze_that_becomes_an_acknowledgement_is_short_again(office: Office) -> None:
    """Or its silence would outlive a dead reconciler by hours."""
    acknowledge = office.acknowledging.acknowledge
    await acknowledge(office.incident.id, kind="snooze", owner="anna", for_=20 * 60 * MINUTE)
    await acknowledge(office.incident.id, owner="anna")
    (silence,) = office.alertmanager.active
    assert ends_at(silence) == NOW + 10 * MINUTE


async def test_while_alertmanager_is_down_the_acknowledgement_is_kept_and_retried(
    office: Office,
) -> None:
    """The secondary on-call is held back at once; the silence follows when it can."""
    office.alertmanager.away = True
    done = await office.acknowledging.acknowledge(office.incident.id, owner="anna")
    assert done.error is not None
    await office.passes(seconds=1)
    assert "HTTP 503" in str(office.acknowledging.error)
    assert office.shown() == (NOW + 60 * MINUTE).timestamp()
    office.alertmanager.away = False
    await office.passes(seconds=6)
    assert not office.acknowledging.error
    assert len(office.alertmanager.active) == 1


async def test_a_withdrawal_while_alertmanager_is_away_follows_too(office: Office) -> None:
    """The metric is 0 at once; the silence goes when it can."""
    await office.acknowledging.acknowledge(office.incident.id, owner="anna")
    office.alertmanager.away = True
    done = await office.acknowledging.unacknowledge(office.incident.id, owner="anna")
    assert done.error is not None
    assert office.shown() == 0
    office.alertmanager.away = False
    await office.passes(seconds=6)
    assert not office.alertmanager.active


async def test_a_crash_between_laying_and_storing_leaves_one_silence(office: Office) -> None:
    """The next life finds it by its comment and continues with it."""
    office.alertmanager.loses_answer = True
    done = await office.acknowledging.acknowledge(office.incident.id, owner="anna")
    assert done.error is not None
    assert len(office.alertmanager.active) == 1
    office.alertmanager.loses_answer = False
    again = office.restarted()
    await again.passes(seconds=1)
    (silence,) = office.alertmanager.active
    (acknowledgement,) = await again.acknowledgements()
    assert acknowledgement.silence_id == silence["id"]


async def test_withdrawn_after_such_a_crash_nothing_is_left(office: Office) -> None:
    """What was never stored is looked for too."""
    office.alertmanager.loses_answer = True
    await office.acknowledging.acknowledge(
        office.incident.id, kind="snooze", owner="anna", for_=60 * MINUTE
    )
    office.alertmanager.loses_answer = False
    await office.restarted().acknowledging.unacknowledge(office.incident.id, owner="anna")
    assert not office.alertmanager.active


async def test_after_a_restart_the_metric_says_the_same(office: Office) -> None:
    """Also of a word that was withdrawn: its former end is still in the rule's range."""
    await office.acknowledging.acknowledge(office.incident.id, owner="anna")
    again = office.restarted()
    await again.passes(seconds=1)
    assert again.shown() == (NOW + 60 * MINUTE).timestamp()
    await again.acknowledging.unacknowledge(office.incident.id, owner="anna")
    again = again.restarted()
    await again.passes(seconds=1)
    assert again.shown() == 0


async def test_another_persons_silence_is_left_alone(office: Office) -> None:
    """Only those of our comment are ours."""
    matcher = {"name": "alertname", "value": "BotSick", "isRegex": False, "isEqual": True}
    office.alertmanager.silences["theirs"] = {
        "id": "theirs",
        "matchers": [matcher],
        "startsAt": NOW.isoformat(),
        "endsAt": (NOW + 60 * MINUTE).isoformat(),
        "createdBy": "ben",
        "comment": "a rehearsal",
        "status": {"state": "active"},
    }
    await office.acknowledging.acknowledge(office.incident.id, owner="anna")
    await office.acknowledging.unacknowledge(office.incident.id, owner="anna")
    assert [silence["id"] for silence in office.alertmanager.active] == ["theirs"]


async def test_a_quiet_pass_reads_nothing(office: Office) -> None:
    """Nothing changed and nothing is due; with another head it looks again."""
    await office.acknowledging.acknowledge(office.incident.id, owner="anna")
    await office.passes(seconds=1)
    await office.passes(seconds=1)
    head = await office.reader.read(events.head)
    office.reader.close()
    office.acknowledging.reader = Unread(reading_engine("sqlite:////nowhere/nothing.db"))
    await office.acknowledging.sync([office.incident], head=head)
    with pytest.raises(AssertionError, match="was read"):
        await office.acknowledging.sync([office.incident], head=head + 1)


class Unread(Reader):
    """A reader that must not be asked."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Fail the test."""
        raise AssertionError(f"{work} was read")


async def test_another_replicas_incident_is_not_extended(office: Office) -> None:
    """It is shown all the same."""
    await office.acknowledging.acknowledge(office.incident.id, owner="anna")
    office.now += 8 * MINUTE
    posts = office.alertmanager.posts
    await office.acknowledging.sync([])
    assert office.alertmanager.posts == posts
    assert office.shown() > 0


@pytest.mark.parametrize("hours", [0, -1, 25])
async def test_a_snooze_has_an_end_within_a_day(office: Office, hours: int) -> None:
    """No one is left alone for good by a slip of the finger."""
    with pytest.raises(RequestRefused, match="at most 24 hours"):
        await office.acknowledging.acknowledge(
            office.incident.id, kind="snooze", owner="anna", for_=timedelta(hours=hours)
        )


async def test_what_has_ended_or_never_was_cannot_be_acknowledged(office: Office) -> None:
    """Each with a sentence."""
    with pytest.raises(RequestRefused, match="no incident"):
        await office.acknowledging.acknowledge("nope", owner="anna")
    await office.close()
    with pytest.raises(RequestRefused, match="is closed"):
        await office.acknowledging.acknowledge(office.incident.id, owner="anna")
