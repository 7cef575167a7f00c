"""What the loop knows is never older than what it asks, nor lost when something fails between."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.builders import make_alert, make_attempt
from tests.databases import postgresql_only
from tests.fakes import FakeWorld
from tests.open_incidents import open_incidents
from tests.service.reconciler.conftest import Running, Start
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.domain.incident import Incident
from trading_ops.domain.observation import AlertSnapshot
from trading_ops.errors import StoreUnavailable
from trading_ops.reconciler.acknowledgements import AcknowledgementSync
from trading_ops.reconciler.lease import Leases
from trading_ops.reconciler.observe import Observer
from trading_ops.store import attempts, incidents, leases


class Interrupted:
    """A lease before which something else happens, once."""

    def __init__(self, lease: Leases, first: Callable[[], Awaitable[None]]) -> None:
        self._lease = lease
        self._first: Callable[[], Awaitable[None]] | None = first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lease, name)

    async def hold(self, wanted: Collection[str]) -> frozenset[str]:
        if wanted and self._first is not None:
            first, self._first = self._first, None
            await first()
        return await self._lease.hold(wanted)


def interrupt(running: Running, first: Callable[[], Awaitable[None]]) -> None:
    running.loop.leases = Interrupted(running.loop.leases, first)  # type: ignore[assignment]


async def test_a_change_is_not_lost_with_the_leases(start: Start, world: FakeWorld) -> None:
    """Resumed at the moment in which the claims could not be stored: remediation still runs."""
    async with start() as running:
        order = {"owner": "ada", "reason": "upgrade", "seconds": 3600}
        await running.call("POST", "/api/v1/pause", json=order)
        await running.break_it()
        await eventually(partial(running.has_event, "decided_wait", "paused"))

        async def fail() -> None:
            raise StoreUnavailable("the database is away")

        interrupt(running, fail)
        await running.call("DELETE", "/api/v1/pause?owner=ada")
        running.loop.wakeup.set()
        await eventually(running.closed)
    assert world.commands == ["reconnect_broker"]


@postgresql_only
@pytest.mark.usefixtures("database_url")
async def test_what_another_did_last_is_known(start: Start, world: FakeWorld) -> None:
    """It tried the first step and went away, after the state was read: the second step is due."""
    async with start() as running:
        writer = running.loop.incident_reconciler.writer

        def other_fails(connection: Connection) -> None:
            (incident,) = open_incidents(connection)
            tried = make_attempt(
                incident_id=incident.id, fence=leases.raise_fence(connection, "alpha")
            )
            attempts.add(connection, tried)

        async def other_works() -> None:
            await writer.run(other_fails)

        interrupt(running, other_works)
        await running.break_it()
        await eventually(running.closed)
    assert world.commands == ["restart_bot"]


class Late:
    """Sources while whose first answer is on its way something happens."""

    def __init__(self, observer: Observer, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self._observer = observer
        self._meanwhile = meanwhile
        self.asked_again = asyncio.Event()
        self._asked = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._observer, name)

    async def poll(self) -> AlertSnapshot:
        if self._asked:
            self.asked_again.set()
            await asyncio.Event().wait()
        self._asked = True
        answer = await self._observer.poll()
        await self._meanwhile()
        return answer


async def test_an_answer_says_nothing_of_what_came_after_it(start: Start, world: FakeWorld) -> None:
    """Another replica opens an incident while the sources are asked: it is not thought over."""
    later = make_alert(labels={"alertname": "PageOnly", "severity": "warning"})
    async with start() as running:
        writer = running.loop.incident_reconciler.writer

        def open_it(connection: Connection) -> None:
            sightings = [incidents.FiringAlert(alert=later, target=None)]
            now = clock.now()
            incidents.open_all(connection, sightings, received_at=now, now=now, source="test")

        async def other_opens() -> None:
            await writer.run(open_it)

        late = Late(running.loop.observer, other_opens)
        running.loop.observer = late  # type: ignore[assignment]
        world.firing = True  # and no webhook tells of it
        running.loop.poll_seconds = 0.1
        running.loop.wakeup.set()
        await asyncio.wait_for(late.asked_again.wait(), 60)
        found = (await running.call("GET", "/api/v1/incidents"))["incidents"]
    assert {incident["alert"]: incident["closed_at"] for incident in found} == {
        "BotSick": None,
        "PageOnly": None,
    }


class Hanging(AcknowledgementSync):
    """An operator's words, which an Alertmanager does not answer."""

    async def sync(self, open_incidents: Collection[Incident], *, head: int = -1) -> None:
        await asyncio.Event().wait()


async def test_an_alertmanager_that_hangs_does_not_hold_up_recovery(
    start: Start, world: FakeWorld
) -> None:
    """Silences are placed and extended beside the loop, however many and however slowly."""
    async with start() as running:
        own = running.loop.acknowledgements
        running.loop.acknowledgements = Hanging(
            writer=own.writer,
            reader=own.reader,
            alertmanagers=own.alertmanagers,
            index=own.index,
            metrics=own.metrics,
        )
        await running.break_it()
        await eventually(running.closed)
    assert world.commands == ["reconnect_broker"]
