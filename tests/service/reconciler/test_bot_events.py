"""Events of a real agent, stored once each with the messages about them."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from freezegun import freeze_time

from tests.builders import NOW, make_registry
from tests.free_ports import free_port
from tests.mail import mail_server
from tests.service.reconciler.conftest import Start
from trading_ops import clock
from trading_ops.agent import Agent, Health
from trading_ops.api.bot_events import BotEventFilters, BotEventQuery, BotEventRoutes
from trading_ops.clients.agent import AgentClient, EventsHead, EventsPage, ReportedEvent
from trading_ops.clients.directory import Directory
from trading_ops.clients.http import Http
from trading_ops.config.settings import Settings
from trading_ops.domain.bot_event import BotEventKind
from trading_ops.domain.message import MessageKind, MessageState, Severity
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics
from trading_ops.notify.bot_events import BotEvents, EventBudget
from trading_ops.notify.outbox import Outbox
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.store import bot_events, messages
from trading_ops.store.bot_events import StoredBotEvent
from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.migrate import upgrade
from trading_ops.store.reader import Reader
from trading_ops.store.search import TimeRange
from trading_ops.store.writer import Writer

ROUTES = "version: 1\nroutes: [{name: all, digest: 10m, to: [mail]}]\n"
NONE: dict[str, str | None] = {}


class Fleet:
    """One bot with a real agent, and what the reconciler has of it."""

    def __init__(self, state: Path, settings: Settings, writer: Writer, reader: Reader) -> None:
        self._state = state
        self.reader = reader
        self.metrics = ReconcilerMetrics()
        self.agent = self._begin()
        self.collector = BotEvents(
            registry=make_registry(alpha="127.0.0.1:1"),
            directory=cast(Directory, self),
            heads=lambda: {"alpha": EventsHead(**self.agent.report()["events"])},
            outbox=Outbox(
                config_path=settings.root / "notify.yml",
                urls_path=settings.secrets / "notify_urls",
                writer=writer,
                reader=reader,
                metrics=self.metrics.outbox,
            ),
            writer=writer,
            reader=reader,
            dropped=self.metrics.agents.events_dropped,
            per_minute=600.0,
        )
        self.session: aiohttp.ClientSession | None = None

    def _begin(self) -> Agent:
        agent = Agent(
            name="alpha",
            address=("127.0.0.1", free_port()),
            metrics=BotMetrics(version="1", mode="paper"),
            health=Health,
            commands={},
            state_dir=self._state,
            metrics_token="m" * 32,
            agent_token="a" * 32,
        )
        agent.start()
        return agent

    def bot(self, _target: object) -> AgentClient:
        """Return the client of the agent, as the directory does."""
        assert self.session is not None
        base = f"http://127.0.0.1:{self.agent.port}"
        return AgentClient(Http(self.session, base, token="a" * 32))

    def restart_without_journal(self) -> None:
        """Start the agent again after its file of events was deleted."""
        self.agent.stop()
        for file in self._state.glob("events.sqlite*"):
            file.unlink()
        self.agent = self._begin()

    def dropped(self) -> float | None:
        """Return the number of dropped events, as exported."""
        name = "trading_ops_bot_events_dropped_total"
        return self.metrics.registry.get_sample_value(name, {"bot": "alpha"})

    async def collected(self) -> list[StoredBotEvent]:
        """Read what is new; return everything that is stored, newest first."""
        assert await asyncio.to_thread(self.agent.events.flush, 60)
        await self.collector.run_once()
        return await self.stored()

    async def stored(self) -> list[StoredBotEvent]:
        """Return everything that is stored, newest first."""
        find = partial(bot_events.search, filters=NONE, span=TimeRange(), limit=1_000)
        return await self.reader.read(find)

    async def sent(self, limit: int = 100) -> list[messages.StoredMessage]:
        """Return the messages in the outbox."""
        return await self.reader.read(partial(messages.search, span=TimeRange(), limit=limit))


@pytest.fixture
async def fleet(settings: Settings, database_url: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    (settings.root / "notify.yml").write_text(ROUTES)
    upgrade(database_url)
    writer = Writer(writing_engine(database_url), b"audit")
    writer.start()
    reader = Reader(reading_engine(database_url))
    state = tmp_path / "state"
    state.mkdir()
    fleet = Fleet(state, settings, writer, reader)
    async with aiohttp.ClientSession() as session:
        fleet.session = session
        yield fleet
    fleet.agent.stop()
    reader.close()
    writer.stop()


async def test_every_event_is_stored_once(fleet: Fleet) -> None:
    """More than a page of them, then some more; a trade is a message, a signal is not."""
    for number in range(450):
        fleet.agent.event("signal", f"signal {number}")
    fleet.agent.event("trade", "bought", id="t1", data={"fee": "0.1"}, strategy="sma")
    assert len(await fleet.collected()) == 451
    fleet.agent.event("trade", "the same trade, reported again", id="t1")
    fleet.agent.event("risk", "daily loss at 80 %", severity="warning")
    stored = await fleet.collected()
    assert len(stored) == 452
    (trade,) = [entry.event for entry in stored if entry.event.event == "t1"]
    assert (trade.summary, trade.strategy, trade.data) == ("bought", "sma", {"fee": "0.1"})
    kinds = sorted(message.kind for message in await fleet.sent())
    assert kinds == [MessageKind.RISK, MessageKind.TRADE]


async def test_another_journal_is_read_from_its_beginning(fleet: Fleet) -> None:
    """The file was deleted: its numbers start again, and what is known already stays one."""
    for number in range(5):
        fleet.agent.event("trade", f"trade {number}", id=f"t{number}")
    assert len(await fleet.collected()) == 5
    fleet.restart_without_journal()
    for number in range(4, 7):
        fleet.agent.event("trade", f"trade {number}", id=f"t{number}")
    stored = await fleet.collected()
    assert sorted(entry.event.event for entry in stored) == [f"t{number}" for number in range(7)]


async def test_what_was_not_stored_is_read_again(fleet: Fleet) -> None:
    """The database fails once between reading and storing: nothing is lost, nothing doubled."""
    fleet.agent.event("trade", "bought", id="t1")
    assert await asyncio.to_thread(fleet.agent.events.flush, 60)
    writer = fleet.collector.writer

    class Failing:
        async def run(self, _work: object) -> None:
            raise StoreError("the database is locked")

    fleet.collector.writer = cast(Writer, Failing())
    with pytest.raises(StoreError):
        await fleet.collector.run_once()
    fleet.collector.writer = writer
    assert [entry.event.event for entry in await fleet.collected()] == ["t1"]
    assert len(await fleet.sent()) == 1


async def test_what_is_old_is_stored_without_a_message(fleet: Fleet) -> None:
    """No one wants a hundred mails about last week after the reconciler was away."""
    week_ago = clock.now() - timedelta(days=7)
    fleet.agent.event("trade", "bought", at=week_ago.timestamp())
    assert len(await fleet.collected()) == 1
    assert await fleet.sent() == []


async def test_claims_of_a_bot_are_bounded(fleet: Fleet) -> None:
    """Unknown words, a time in the future or none at all, endless texts: stored within bounds."""
    oversized = ReportedEvent(
        number=2**70,
        id="i" * 5_000,
        kind="gossip",
        severity="loud",
        at=1e18,
        summary="s\0" * 5_000,
        strategy="x" * 5_000,
        data={"x": "y" * 50_000},
    )
    journal = fleet.agent.report()["events"]["journal"]
    page = EventsPage(journal=journal, events=[oversized])
    await fleet.collector.run_once()
    await fleet.collector._store("alpha", page)
    (stored,) = await fleet.stored()
    event = stored.event
    assert (event.kind, event.severity) == ("system", "info")
    assert event.at <= clock.now()
    assert len(event.summary) <= 300
    assert len(event.strategy) <= 100
    assert set(event.data) == {"left_out"}


async def test_excess_is_dropped_and_counted(fleet: Fleet) -> None:
    """A bot that reports without bound: the burst is stored, the rest is read past."""
    assert fleet.dropped() == 0
    fleet.collector._budgets["alpha"] = EventBudget(per_minute=600.0, burst=250, now=lambda: 0.0)
    for number in range(450):
        fleet.agent.event("signal", f"signal {number}")
    assert len(await fleet.collected()) == 250
    assert fleet.dropped() == 200
    fleet.agent.event("trade", "bought", id="t1")
    assert len(await fleet.collected()) == 250
    assert (fleet.dropped(), await fleet.sent()) == (201, [])
    fleet.collector._budgets["alpha"] = EventBudget(per_minute=600.0)
    fleet.agent.event("trade", "bought", id="t2")
    assert len(await fleet.collected()) == 251
    assert fleet.dropped() == 201


TRADES, STEP = 10_000, 120
"""In an hour, and the seconds between two passes."""


class Flood:
    """A journal with many trades; the clock of this test stands still in an agent's threads."""

    def __init__(self) -> None:
        self.reported = 0

    def heads(self) -> dict[str, EventsHead]:
        """Return how far the journal reaches."""
        return {"alpha": EventsHead(journal="j", head=self.reported)}

    def bot(self, _target: object) -> "Flood":
        """Return the client, as the directory does."""
        return self

    async def events(self, after: int) -> EventsPage:
        """Return a page of the journal."""
        numbers = range(after + 1, min(after + 200, self.reported) + 1)
        trades = [
            ReportedEvent(
                number=number,
                id=f"t{number}",
                kind="trade",
                severity="info",
                at=clock.timestamp(),
                summary=f"sell {number} ETH/USD",
            )
            for number in numbers
        ]
        return EventsPage(journal="j", events=trades)


@pytest.mark.slow
@pytest.mark.parametrize(("route", "most"), [("digest: 10m, ", 7), ("", 61)])
async def test_ten_thousand_trades_in_an_hour_are_a_few_mails(
    fleet: Fleet, settings: Settings, route: str, most: int
) -> None:
    """From the journal to a mail server, by a digest or the hourly limit alone; none is lost."""
    routes = f"version: 1\nroutes: [{{name: all, {route}to: [mail]}}]\n"
    (settings.root / "notify.yml").write_text(routes)
    flood = Flood()
    fleet.collector.heads, fleet.collector.directory = flood.heads, cast(Directory, flood)
    outbox = fleet.collector.outbox
    async with mail_server() as server:
        urls = settings.secrets / "notify_urls"
        urls.write_text(f"mail {server.url()}\n")
        urls.chmod(0o600)
        with freeze_time(NOW, real_asyncio=True) as time:
            for second in range(0, 7200, STEP):
                flood.reported = min(TRADES * second // 3600, TRADES)
                await fleet.collector.run_once()
                await outbox.run_once()
                await asyncio.gather(*outbox._delivering.values())
                time.tick(timedelta(seconds=STEP))
            await outbox.courier.close()
        subjects = [str(mail["Subject"]) for mail in server.mails]
    sizes = [
        int(found[1]) if (found := re.match(r"(\d+) trades", subject)) else 1
        for subject in subjects
    ]
    sys.stdout.write(f"{TRADES:,} trades, {route or 'no digest, '}{len(sizes)} mails\n")
    sent = await fleet.sent(limit=2 * TRADES)
    assert sum(message.state is MessageState.SENT for message in sent) == sum(sizes) == TRADES
    assert len(sizes) <= most


async def test_the_summary_counts_what_the_list_shows(fleet: Fleet) -> None:
    """The same filters; together they narrow it down."""
    fleet.agent.event("trade", "bought", strategy="sma", symbol="ETH/USD", order="o-1")
    fleet.agent.event("trade", "sold", strategy="rsi", severity="warning", correlation="c-1")
    fleet.agent.event("risk", "daily loss at 80 %", strategy="sma", severity="warning")
    await fleet.collected()
    to = BotEventRoutes(fleet.reader)
    wanted: list[tuple[dict[str, Any], int]] = [
        ({}, 3),
        ({"kind": BotEventKind.TRADE}, 2),
        ({"severity": Severity.WARNING}, 2),
        ({"strategy": "sma"}, 2),
        ({"symbol": "ETH/USD"}, 1),
        ({"order": "o-1"}, 1),
        ({"correlation": "c-1"}, 1),
        ({"strategy": "sma", "severity": Severity.WARNING}, 1),
        ({"until": datetime(2020, 1, 1, tzinfo=UTC)}, 0),
    ]
    for filters, expected in wanted:
        counted = (await to.summary(BotEventFilters(**filters))).counts
        listed = (await to.search(BotEventQuery(**filters))).events
        assert sum(count.count for count in counted) == len(listed) == expected, filters


async def test_they_are_searched_and_counted(start: Start) -> None:
    """Over the API; an unknown word is refused by name."""
    async with start() as running:
        path = "/api/v1/bot-events"
        empty: dict[str, Any] = await running.call("GET", f"{path}?kind=trade&bot=alpha")
        assert empty == {"events": [], "next": None, "head": 0}
        assert (await running.call("GET", f"{path}/summary?bot=alpha")) == {"counts": []}
        headers = {"Authorization": "Bearer operator"}
        async with running.client.get(f"{path}?kind=gossip", headers=headers) as answer:
            assert answer.status == 422
            assert "kind" in await answer.text()
