"""The live stream of the bots' events: each once, in the order of storing, across reconnects."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from aiohttp import WSServerHandshakeError

from tests.rules.configuration import ROOT
from tests.service.api.conftest import LOCAL, ask
from tests.service.api.test_commands import write_targets
from tests.service.reconciler.conftest import Running, Start
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.config.settings import Settings
from trading_ops.domain.bot_event import BotEvent, BotEventKind
from trading_ops.domain.message import Severity
from trading_ops.store import bot_events
from trading_ops.store.bot_events import JournalPosition

LIST, STREAM = "/api/v1/bot-events", "/api/v1/bot-events/stream"


def event(name: str, bot: str = "alpha", *, age: timedelta = timedelta(0)) -> BotEvent:
    now = clock.now()
    return BotEvent(
        bot=bot,
        event=name,
        kind=BotEventKind.TRADE,
        severity=Severity.INFO,
        at=now - age,
        received_at=now,
        strategy="sma",
        symbol="ETH/USD",
        order_id="",
        correlation="",
        summary=f"bought {name}",
        data={},
    )


async def keep(running: Running, *found: BotEvent) -> None:
    """Store events as the collector does; a repeated one is left as it is."""
    by_bot: dict[str, list[BotEvent]] = {}
    for stored in found:
        by_bot.setdefault(stored.bot, []).append(stored)
    for bot, events in by_bot.items():
        await running.loop.intake.writer.run(
            partial(
                bot_events.store,
                bot=bot,
                found=events,
                position=JournalPosition(journal="j", number=1),
                drafts=[],
                now=clock.now(),
            )
        )


async def listen(running: Running, query: str = "") -> Any:
    headers = {"Authorization": f"Bearer {LOCAL}"}
    return await running.client.ws_connect(STREAM + query, headers=headers)


async def receive(socket: Any, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(120):
        return [json.loads(await socket.receive_str()) for _ in range(count)]


async def test_it_continues_a_list_and_a_lost_connection(start: Start) -> None:
    """An event stored late, with an old time, and a repeated one: each is sent once."""
    async with start() as running:
        await keep(running, event("a"), event("b"))
        _, page = await ask(running, "GET", LIST)
        await keep(running, event("b"), event("c"))
        async with await listen(running, f"?after={page['head']}") as socket:
            first = await receive(socket, 1)
            await keep(running, event("late", age=timedelta(hours=5)))
            first += await receive(socket, 1)
        await keep(running, event("late"), event("d"))
        await keep(running, event("e"))
        async with await listen(running, f"?after={first[-1]['seq']}") as socket:
            second = await receive(socket, 2)
            await keep(running, event("f"))
            second += await receive(socket, 1)
        numbers = [view["seq"] for view in first + second]
        _, page = await ask(running, "GET", f"{LIST}?limit=1000")
    assert {view["event"] for view in page["events"]} >= {"a", "b"}
    assert [view["event"] for view in first + second] == ["c", "late", "d", "e", "f"]
    assert numbers == sorted(set(numbers))
    assert page["head"] == numbers[-1]
    assert second[-1] == page["events"][0]


async def test_it_filters_as_the_list_does(start: Start) -> None:
    """Two listeners with other filters share what is read; an unknown word is refused."""
    async with start() as running:
        async with (
            await listen(running, "?bot=beta") as beta,
            await listen(running, "?bot=alpha&kind=trade&symbol=ETH/USD") as alpha,
        ):
            await keep(running, event("1", "alpha"), event("2", "beta"), event("3", "alpha"))
            assert [view["event"] for view in await receive(beta, 1)] == ["2"]
            assert [view["event"] for view in await receive(alpha, 2)] == ["1", "3"]
        with pytest.raises(WSServerHandshakeError) as caught:
            await listen(running, "?kind=gossip")
        assert caught.value.status == 422


async def test_numbers_are_not_used_again(start: Start) -> None:
    """Not even when every event was removed: a client that waits gets the next one."""
    async with start() as running:
        await keep(running, event("a"), event("b"))
        _, page = await ask(running, "GET", LIST)
        later = clock.now() + timedelta(hours=1)
        await running.loop.intake.writer.run(partial(bot_events.prune, before=later, now=later))
        assert (await ask(running, "GET", LIST))[1]["events"] == []
        await keep(running, event("c"))
        async with await listen(running, f"?after={page['head']}") as socket:
            (found,) = await receive(socket, 1)
        assert found["event"] == "c"


class Proxy:
    """Forwards connections, and can end them all."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._open: set[asyncio.StreamWriter] = set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._open |= {writer, far_writer}
        with contextlib.suppress(OSError):
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    def cut(self) -> None:
        for response in self._open:
            response.transport.abort()
        self._open.clear()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxied(port: int) -> AsyncIterator[tuple[Proxy, int]]:
    proxy = Proxy(port)
    server = await asyncio.start_server(proxy.carry, "127.0.0.1", 0)
    try:
        yield proxy, server.sockets[0].getsockname()[1]
    finally:
        proxy.cut()
        server.close()


async def test_the_command_follows_across_a_lost_connection(
    start: Start, settings: Settings
) -> None:
    """It prints what is stored and what follows; the connection is lost three times."""
    async with start() as running:
        port = running.client.make_url("/").port
        assert port is not None
        async with proxied(port) as (proxy, address):
            write_targets(settings, running.world, address)
            await keep(running, event("0"), event("other", "beta"))
            process = await asyncio.create_subprocess_exec(
                *("env", f"TRADING_OPS_ROOT={settings.root}", f"PYTHONPATH={ROOT}"),
                *(sys.executable, "-m", "trading_ops.cli.main", "bot-events"),
                *("--follow", "--bot", "alpha", "--output", "json"),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            assert process.stdout is not None
            printed: list[str] = []

            async def read(lines: asyncio.StreamReader) -> None:
                async for line in lines:
                    printed.append(json.loads(line)["event"])

            reading = asyncio.create_task(read(process.stdout))

            async def until(count: int) -> None:
                await eventually(lambda: len(printed) >= count, within=120)

            for first in (1, 4, 7):
                await until(first)
                await keep(running, event(f"{first}"))
                proxy.cut()
                await keep(running, event(f"{first + 1}"), event(f"{first + 2}"))
            await until(10)
            process.terminate()
            await process.wait()
            await reading
    assert printed == [str(number) for number in range(10)]
