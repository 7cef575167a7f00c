"""Alertmanager's silences, and a cluster of which some members do not answer."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, NamedTuple

import aiohttp
import pytest

from tests.builders import LABELS, NOW
from tests.fakes import FakeWorld
from tests.silences import FakeAlertmanager
from trading_ops.clients.alertmanager import Alertmanager, Alertmanagers
from trading_ops.clients.http import Http
from trading_ops.errors import Refused, Unreachable

HOUR = timedelta(hours=1)


class Cluster(NamedTuple):
    """Two members, as servers and as clients."""

    first: FakeAlertmanager
    other: FakeAlertmanager
    clients: tuple[Alertmanager, Alertmanager]
    all: Alertmanagers


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Run both."""
    members = FakeAlertmanager(), FakeAlertmanager()
    servers = [member.server() for member in members]
    for server in servers:
        await server.start_server()
    async with aiohttp.ClientSession() as session:
        first, other = (
            Alertmanager(Http(session, f"http://127.0.0.1:{server.port}")) for server in servers
        )
        yield Cluster(*members, (first, other), Alertmanagers([first, other]))
    for server in servers:
        await server.close()


def alert(name: str, *, silenced: bool = False, inhibited: bool = False) -> dict[str, Any]:
    base = FakeWorld(labels={"alertname": name}).alert()
    status = {
        "state": "suppressed" if silenced or inhibited else "active",
        "silencedBy": ["s"] if silenced else [],
        "inhibitedBy": ["i"] if inhibited else [],
    }
    return base | {"endsAt": (NOW + HOUR).isoformat(), "status": status}


async def place(client: Alertmanager | Alertmanagers, **over: Any) -> str:
    values: dict[str, Any] = {
        "matchers": LABELS,
        "starts": NOW,
        "ends": NOW + HOUR,
        "owner": "anna",
        "comment": "x",
    }
    return await client.silence(**(values | over))


async def test_the_cluster_has_what_any_member_has(cluster: Cluster) -> None:
    """One restarted and knows half; one has a silence that the other does not have yet."""
    cluster.first.alerts = [alert("A"), alert("B", silenced=True), alert("C")]
    cluster.other.alerts = [alert("A", inhibited=True), alert("B"), alert("D")]
    found = {routed.labels["alertname"]: routed for routed in (await cluster.all.alerts()).values()}
    states = {name: (routed.silenced, routed.inhibited) for name, routed in found.items()}
    assert states == {
        "A": (False, True),
        "B": (True, False),
        "C": (False, False),
        "D": (False, False),
    }


async def test_one_that_answers_is_enough_and_none_is_unknown(cluster: Cluster) -> None:
    """Never an empty list from no one."""
    cluster.first.away = True
    cluster.other.alerts = [alert("A")]
    assert len(await cluster.all.alerts()) == 1
    cluster.other.away = True
    with pytest.raises(Unreachable):
        await cluster.all.alerts()


async def test_a_silence_goes_to_the_first_that_answers(cluster: Cluster) -> None:
    """Gossip tells the rest."""
    cluster.first.away = True
    key = await place(cluster.all)
    assert list(cluster.other.silences) == [key]
    cluster.other.away = True
    with pytest.raises(Unreachable, match=r"503.*503"):
        await place(cluster.all)


async def test_silences_are_listed_once_and_expired_everywhere(cluster: Cluster) -> None:
    """Also at a member that does not have it: there it is unknown, which is fine."""
    key = await place(cluster.all)
    cluster.other.silences[key] = dict(cluster.first.silences[key])
    only = await place(cluster.clients[1])
    assert sorted(silence.id for silence in await cluster.all.silences("BotSick")) == sorted(
        [key, only]
    )
    assert await cluster.all.silences("Another") == []
    await cluster.all.expire(only)
    assert [silence.id for silence in await cluster.all.silences("BotSick")] == [key]
    cluster.first.away = cluster.other.away = True
    with pytest.raises(Unreachable):
        await cluster.all.expire(key)


async def test_a_silence_that_was_lost_is_placed_again(cluster: Cluster) -> None:
    """An Alertmanager that lost its data must not keep an operator's word from being shown."""
    key = await place(cluster.clients[0], id="lost-long-ago")
    assert list(cluster.first.silences) == [key]


async def test_the_returned_id_is_the_one_that_counts(cluster: Cluster) -> None:
    """An update may end the old silence and start another."""
    key = await place(cluster.clients[0])
    again = await place(cluster.clients[0], id=key)
    assert again != key
    assert [silence.id for silence in await cluster.clients[0].silences("BotSick")] == [again]


async def test_an_alert_name_cannot_leave_its_filter(cluster: Cluster) -> None:
    """Quotes, backslashes and newlines stay inside."""
    assert await cluster.all.silences('A",severity="critical\\\n') == []


async def test_a_no_is_a_no(cluster: Cluster) -> None:
    """It is not asked of the next."""
    cluster.first.refuses = True
    with pytest.raises(Refused, match="HTTP 400"):
        await place(cluster.all)
    assert not cluster.other.silences


async def test_a_server_in_trouble_is_not_a_silence_that_is_gone(cluster: Cluster) -> None:
    """500 is what 0.25 says of an unknown id; with a known one it means something else."""
    key = await place(cluster.clients[0])
    cluster.first.cannot_expire = True
    with pytest.raises(Unreachable, match="HTTP 500"):
        await cluster.clients[0].expire(key)


async def test_a_member_that_hangs_does_not_hold_up_the_others(cluster: Cluster) -> None:
    """Its own deadline is an hour: the one that answers is enough."""
    hanging, gone = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hanging.set()
        await reader.read()  # until the client has given up
        writer.close()
        gone.set()

    cluster.first.alerts = [alert("A")]
    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, aiohttp.ClientSession() as session:
        mute = Alertmanager(Http(session, f"http://127.0.0.1:{port}", within=HOUR))
        found = await asyncio.wait_for(Alertmanagers([mute, cluster.clients[0]]).alerts(), 30)
    assert [routed.labels["alertname"] for routed in found.values()] == ["A"]
    assert hanging.is_set()
    await asyncio.wait_for(gone.wait(), 30)
