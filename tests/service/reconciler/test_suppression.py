"""An operator and the machine on one incident: through the API, the loop and the fake world."""

from typing import Any

from aiohttp import ClientSession

from tests.fakes import FakeWorld
from tests.service.reconciler.conftest import Running, Start
from tests.waiting import eventually
from trading_ops.clients.http import Http
from trading_ops.clients.reconciler import ReconcilerApi

GAUGE = (
    'trading_ops_acknowledged_until_timestamp_seconds{bot="alpha",origin="BotSick",subject="",'
    'venue="paper"}'
)


def api(running: Running, session: ClientSession) -> ReconcilerApi:
    """Return the client that the command line uses."""
    return ReconcilerApi(
        Http(session, str(running.client.make_url("")).rstrip("/"), token="operator")
    )


async def incident(running: Running) -> Any:
    """Return the open incident, once there is one."""
    return await eventually(running.incident, what="an incident")


async def test_the_machine_keeps_its_hands_off_until_it_is_given_back(
    start: Start, world: FakeWorld
) -> None:
    """Acknowledged: nothing is done, and it says whose it is. Withdrawn: the machine continues."""
    async with start(poll_interval_seconds=0.5) as running, ClientSession() as session:
        person = api(running, session)
        await running.call("POST", "/api/v1/pause", json=PAUSE)
        world.firing = True
        assert await running.notify(world.alert()) == 200
        key = (await incident(running))["id"]
        acknowledgement = await person.acknowledge(key[:8], owner="anna", note="mine")
        assert acknowledgement.trouble is None
        assert "anna" in acknowledgement.owner
        assert len(world.silences.active) == 1
        await running.call("DELETE", "/api/v1/pause?owner=anna")
        await eventually(lambda: _logged_reason(running, "suppressed: acknowledged by anna"))
        assert world.commands == []
        assert await running.metric(GAUGE) > 0

        await person.unacknowledge(key, owner="anna")
        assert world.silences.active == []
        assert await running.metric(GAUGE) == 0
        await eventually(running.closed, what="automation to remediate it")
        assert world.commands == ["reconnect_broker"]


async def test_what_alertmanager_has_lost_is_silenced_again(start: Start, world: FakeWorld) -> None:
    """Its data is gone, and the alert is there again."""
    async with start(poll_interval_seconds=0.5) as running, ClientSession() as session:
        await running.call("POST", "/api/v1/pause", json=PAUSE)
        world.firing = True
        assert await running.notify(world.alert()) == 200
        key = (await incident(running))["id"]
        await api(running, session).acknowledge(key, owner="anna")
        world.silences.silences.clear()
        await eventually(lambda: len(world.silences.active) == 1, what="the silence")


async def _logged_reason(running: Running, text: str) -> bool:
    events = (await running.timeline())["events"]
    return any(event["note"].startswith(text) for event in events)


async def test_an_acknowledgement_ends_with_its_incident(start: Start, world: FakeWorld) -> None:
    """Resolved while it was silenced, of which no webhook tells: the poll does."""
    async with start(poll_interval_seconds=0.5) as running, ClientSession() as session:
        await running.call("POST", "/api/v1/pause", json=PAUSE)
        world.firing = True
        await running.notify(world.alert())
        key = (await incident(running))["id"]
        await api(running, session).acknowledge(key, owner="anna")
        world.firing = False
        await eventually(running.closed, what="the incident to be closed")
        await eventually(lambda: not world.silences.active, what="the silence to be gone")
        timeline = await running.timeline()
        assert "acknowledgement_ended" in [event["kind"] for event in timeline["events"]]
        await eventually(lambda: _is_zero(running), what="the metric to be 0")


async def _is_zero(running: Running) -> bool:
    return await running.metric(GAUGE) == 0


PAUSE = {"owner": "anna", "reason": "a test", "seconds": 600}
