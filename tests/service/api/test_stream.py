"""The live stream: every listener gets every event once and in order, and no slow one matters."""

import asyncio
import json
from functools import partial
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from tests.service.api.conftest import LOCAL, REVOKED, TOKENS, ask, everybody
from tests.service.reconciler.conftest import Running, Start
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.api import event_stream, stream
from trading_ops.api.auth import FILE, Role, save
from trading_ops.api.event_stream import StreamLine, StreamListener
from trading_ops.clients.http import Http
from trading_ops.clients.reconciler import ReconcilerApi
from trading_ops.config.settings import Settings
from trading_ops.errors import Unreachable
from trading_ops.store import Connection, events

STREAM = "/api/v1/events/stream"


def add_events(connection: Connection, begin: int, count: int, note: str = "") -> None:
    """Add some events."""
    for number in range(begin, begin + count):
        events.add(connection, at=clock.now(), kind="test", reason=str(number), note=note)


async def tell(running: Running, begin: int, count: int, note: str = "") -> None:
    """Store some events in one transaction."""
    await running.loop.intake.writer.run(partial(add_events, begin=begin, count=count, note=note))


async def listen(running: Running, query: str = "", token: str = LOCAL) -> Any:
    """Connect to the stream."""
    headers = {"Authorization": f"Bearer {token}"}
    return await running.client.ws_connect(STREAM + query, headers=headers)


async def next_tests(socket: ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    """Return the next test events; others, of the reconciler itself, may lie between them."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(120):
        while len(found) < count:
            event = json.loads(await socket.receive_str())
            if event["kind"] == "test":
                found.append(event)
    return found


async def test_ten_listeners_get_the_same_events_in_order(start: Start) -> None:
    """200 events in pieces, to ten at once; each event once, and no number is missing."""
    async with start() as running:
        sockets = [await listen(running) for _ in range(10)]
        assert await running.metric("trading_ops_websocket_clients") == 10
        receiving = [asyncio.create_task(next_tests(socket, 200)) for socket in sockets]
        for begin in range(0, 200, 20):
            await tell(running, begin, 20)
        found = await asyncio.gather(*receiving)
        assert [event["reason"] for event in found[0]] == [str(number) for number in range(200)]
        assert all(event == found[0] for event in found)
        for socket in sockets:
            await socket.close()
        await eventually(lambda: has_no_listeners(running))


async def has_no_listeners(running: Running) -> bool:
    """Whether the metric is back at zero."""
    return await running.metric("trading_ops_websocket_clients") == 0


async def test_a_listener_resumes_where_it_left(start: Start) -> None:
    """`after` the last number seen: nothing twice, nothing missing, old and new alike."""
    async with start() as running:
        await tell(running, 0, 700)
        async with await listen(running, "?after=0") as socket:
            first = await next_tests(socket, 650)
        await tell(running, 700, 100)
        async with (
            await listen(running) as new,
            await listen(running, f"?after={first[-1]['seq']}") as socket,
        ):
            rest = await next_tests(socket, 150)
            await tell(running, 800, 1)
            assert (await next_tests(socket, 1))[0]["reason"] == "800"
            assert (await next_tests(new, 1))[0]["reason"] == "800"
    assert [event["reason"] for event in first + rest] == [str(number) for number in range(800)]


async def test_one_that_does_not_read_holds_no_one_up(
    start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is let go with a code that says so; the others get everything meanwhile."""
    monkeypatch.setattr(stream, "STALLED_SECONDS", 0.5)
    async with start() as running:
        slow, fast = await listen(running), await listen(running)
        receiving = asyncio.create_task(next_tests(fast, 2000))
        # The kernel and the client keep some; what is sent is far more than that.
        for begin in range(0, 2000, 100):
            await tell(running, begin, 100, note="x" * 12000)
        assert len(await receiving) == 2000
        # Only once it was given up does it read what was on the way to it.
        await eventually(lambda: "too slow" in capsys.readouterr().out)
        last = 0
        async with asyncio.timeout(120):
            while (message := await slow.receive()).type is WSMsgType.TEXT:
                last = json.loads(message.data)["seq"]
        assert slow.close_code == 1013
        assert "after=" in str(message.extra)
        async with await listen(running, f"?after={last}") as again:
            event = json.loads(await again.receive_str())
        assert event["seq"] == last + 1
        await fast.close()


async def test_one_that_a_storm_leaves_behind_catches_up(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue overflows, and it still gets everything once and in order."""
    monkeypatch.setattr(event_stream, "QUEUE", 7)
    async with start() as running, await listen(running) as socket:
        receiving = asyncio.create_task(next_tests(socket, 3000))
        for begin in range(0, 3000, 300):
            await tell(running, begin, 300)
        found = await receiving
    assert [event["reason"] for event in found] == [str(number) for number in range(3000)]
    numbers = [event["seq"] for event in found]
    assert numbers == sorted(set(numbers))


async def test_a_revoked_token_ends_its_stream(start: Start, with_tokens: Settings) -> None:
    """Anyone who is shut out does not go on listening."""
    async with start() as running:
        socket = await listen(running, token=REVOKED)
        save(with_tokens.secrets / FILE, everybody())
        async with asyncio.timeout(120):
            while (await socket.receive()).type is WSMsgType.TEXT:
                pass
        assert socket.close_code == 1008


async def test_strangers_hear_nothing(start: Start, with_tokens: Settings) -> None:
    """Neither without a token nor with one of a machine."""
    del with_tokens
    async with start() as running:
        for token, status in (("wrong", 401), (TOKENS[Role.INTAKE], 403)):
            with pytest.raises(WSServerHandshakeError) as caught:
                await listen(running, token=token)
            assert caught.value.status == status
        status, problem = await ask(running, "GET", STREAM)
        assert (status, problem["error"]) == (426, "upgrade_required")
        assert (await ask(running, "GET", f"{STREAM}?after=x"))[0] == 422


async def test_the_end_of_the_reconciler_is_reported(start: Start) -> None:
    """So that a listener knows that coming back is worth while."""
    async with start() as running:
        socket = await listen(running)

        async def hears_the_end() -> bool:
            while (await socket.receive()).type is WSMsgType.TEXT:
                pass
            return bool(socket.close_code == 1001)

        hearing = asyncio.create_task(hears_the_end())
        await running.client.server.close()
        assert await asyncio.wait_for(hearing, 60)


async def test_what_a_listener_sends_means_nothing(start: Start) -> None:
    """It goes on hearing."""
    async with start() as running, await listen(running) as socket:
        await socket.send_str("hello")
        await socket.send_bytes(b"\0")
        await tell(running, 0, 1)
        assert (await next_tests(socket, 1))[0]["reason"] == "0"


async def test_the_command_lines_client_follows(start: Start) -> None:
    """Each event as a value; the end of it, or a refusal, is an error that says so."""
    async with start() as running:
        base = str(running.client.make_url("")).rstrip("/")
        await tell(running, 0, 3)
        api = ReconcilerApi(Http(running.client.session, base, token=LOCAL))
        found: list[str] = []
        async for event in api.follow(0):
            if event.kind == "test":
                found.append(event.reason)
            if len(found) == 3:
                break
        assert found == ["0", "1", "2"]
        stranger = ReconcilerApi(Http(running.client.session, base, token="wrong"))
        with pytest.raises(Unreachable, match="401"):
            await anext(stranger.follow(0))


async def test_the_feed_rests_while_no_one_listens(start: Start) -> None:
    """The database is not asked for no one."""

    def feeds() -> list[str]:
        return [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "feed"]

    async with start() as running:
        assert feeds() == []
        async with await listen(running) as socket:
            await tell(running, 0, 1)
            await next_tests(socket, 1)
            await eventually(lambda: feeds() == ["feed"])  # it caught up first
        await eventually(lambda: feeds() == [])


async def test_a_queue_never_repeats_and_never_skips() -> None:
    """What was sent before is left out; after the first that does not fit comes nothing."""
    listener = StreamListener(3, asyncio.Queue(2))
    listener.put([StreamLine(2, "b"), StreamLine(3, "c"), StreamLine(4, "d")])
    assert listener.position == 4
    listener.put([StreamLine(4, "d"), StreamLine(5, "e"), StreamLine(6, "f"), StreamLine(7, "g")])
    assert listener.behind
    assert [listener.queue.get_nowait().seq for _ in range(2)] == [4, 5]
    listener.put([StreamLine(8, "h")])
    assert listener.queue.empty()
