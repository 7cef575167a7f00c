"""Closed trades of a Freqtrade: bot events, stored once, with messages and in the report."""

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import aiohttp
import pytest
from msgspec.structs import replace

from tests.builders import FixedSecrets
from tests.service.exporter.freqtrades import PASSWORD, USER, FakeFreqtrade
from trading_ops import clock
from trading_ops.clients.agent import EventsHead
from trading_ops.clients.directory import Directory
from trading_ops.clients.freqtrade_trades import DEEPER, NEWEST, READ_AT_ONCE, REQUESTS
from trading_ops.config.settings import Settings
from trading_ops.domain.bot_event import BotEvent
from trading_ops.domain.message import MessageKind
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.notify.bot_events import BotEvents
from trading_ops.notify.outbox import Outbox
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reports.trades import closed_trades, trade_figures
from trading_ops.store import bot_events, messages
from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.migrate import upgrade
from trading_ops.store.reader import Reader
from trading_ops.store.search import TimeRange
from trading_ops.store.writer import Writer

ROUTES = "version: 1\nroutes: [{name: all, digest: 10m, to: [mail]}]\n"
HISTORY = NEWEST + REQUESTS * DEEPER


class Collecting:
    """A Freqtrade, and a reconciler's collector that can be started again."""

    def __init__(
        self, fake: FakeFreqtrade, settings: Settings, directory: Directory, writer: Writer
    ) -> None:
        self.fake = fake
        self.reader = Reader(reading_engine(settings.database))
        self.every_seconds = 0.0
        self._settings = settings
        self._directory = directory
        self._writer = writer
        self.start()

    def start(self) -> None:
        """Start with nothing in memory, as after a crash."""
        metrics = ReconcilerMetrics()
        head = EventsHead(journal="closed-trades", head=None)
        self._collector = BotEvents(
            registry=self._directory._registry,
            directory=self._directory,
            heads=lambda: {"freq": head},
            outbox=Outbox(
                config_path=self._settings.root / "notify.yml",
                urls_path=self._settings.secrets / "notify_urls",
                writer=self._writer,
                reader=self.reader,
                metrics=metrics.outbox,
            ),
            writer=self._writer,
            reader=self.reader,
            dropped=metrics.agents.events_dropped,
            per_minute=600.0,
            polled_every_seconds=self.every_seconds,
        )

    async def read(self) -> list[BotEvent]:
        """Read once; return everything that is stored, in the order of storing."""
        await self._collector.run_once()
        found = await self.reader.read(partial(bot_events.since, seq=0, limit=5_000))
        return [event.event for event in found]

    def requests(self) -> int:
        """Return the number of requests for trades so far."""
        return self.fake.asked.count("trades")


@pytest.fixture
async def collecting(settings: Settings, database_url: str) -> AsyncIterator[Collecting]:
    (settings.root / "notify.yml").write_text(ROUTES)
    upgrade(database_url)
    writer = Writer(writing_engine(database_url), b"audit")
    writer.start()
    fake = FakeFreqtrade()
    async with fake.serving() as address, aiohttp.ClientSession() as session:
        freq = Target(name="freq", kind=Kind.FREQTRADE, address=address, venue="binance")
        secrets = FixedSecrets(freqtrade=f"{USER}:{PASSWORD}")
        directory = Directory(session, Registry((freq,)), secrets)
        on_database = replace(settings, database=database_url)
        made = Collecting(fake, on_database, directory, writer)
        yield made
    made.reader.close()
    writer.stop()


async def test_a_closed_trade_is_an_event_with_a_message(collecting: Collecting) -> None:
    """With what the reports add up; read again and again, it stays one."""
    now = clock.timestamp()
    collecting.fake.close(at=now - 60, profit=12.5)
    collecting.fake.close(at=now - 30, profit=-2.5, is_short=True, pair="SOL/USDT:USDT")
    stored = await collecting.read()
    collecting.start()
    assert await collecting.read() == stored
    won, lost = stored
    assert (won.kind, won.symbol, won.strategy, won.order_id) == (
        ("trade", "ETH/USDT", "SampleStrategy", "1")
    )
    assert won.summary == "closed long 0.5 ETH/USDT: +12.50 USDT (+1.25 %)"
    assert won.data == {
        "currency": "USDT",
        "side": "long",
        "amount": "0.5",
        "open_rate": "2000",
        "close_rate": "2010",
        "profit": "12.5",
        "fee": "2.005",
        "exit_reason": "roi",
    }
    assert (lost.data["side"], lost.data["profit"]) == ("short", "-2.5")
    sent = await collecting.reader.read(partial(messages.search, span=TimeRange()))
    assert [message.kind for message in sent] == [MessageKind.TRADE, MessageKind.TRADE]
    assert {message.subject for message in sent} == {f"freq: {event.summary}" for event in stored}
    assert all("Profit: " in message.text for message in sent)
    lines = closed_trades(reversed(stored))
    assert [(line.bot, line.symbol, line.profit) for line in lines] == [
        ("freq", "ETH/USDT", 12.5),
        ("freq", "SOL/USDT:USDT", -2.5),
    ]
    (figures,) = trade_figures(stored)
    assert (figures.bot, figures.currency, figures.closed) == ("freq", "USDT", 2)
    assert (figures.profit, figures.win_ratio, figures.profit_factor) == (10.0, 0.5, 5.0)


async def test_it_costs_a_request_each_interval(collecting: Collecting) -> None:
    """Nothing new is one request; between two intervals there is none."""
    for number in range(3 * NEWEST):
        collecting.fake.close(at=clock.timestamp() - 1000 + number)
    await collecting.read()
    before = collecting.requests()
    await collecting.read()
    assert collecting.requests() == before + 1
    collecting.every_seconds = 3600
    collecting.start()
    await collecting.read()
    await collecting.read()
    assert collecting.requests() == before + 2


async def test_a_long_history_is_read_in_parts(collecting: Collecting) -> None:
    """Its newest part, oldest first, and without messages about what is older than a day."""
    long_ago = clock.timestamp() - timedelta(days=30).total_seconds()
    for number in range(HISTORY + 10):
        collecting.fake.close(at=long_ago + number)
    stored = await collecting.read()
    known = [event.order_id for event in stored]
    assert known == [str(number) for number in range(11, 11 + READ_AT_ONCE)]
    while len(more := [event.order_id for event in await collecting.read()]) > len(known):
        known = more
    assert known == [str(number) for number in range(11, HISTORY + 11)]
    assert not await collecting.reader.read(partial(messages.search, span=TimeRange()))


async def test_a_trade_that_is_stored_late_is_found(collecting: Collecting) -> None:
    """It closed before one that is known; and a new database starts again with trade 1."""
    now = clock.timestamp()
    collecting.fake.close(at=now - 100)
    assert len(await collecting.read()) == 1
    collecting.fake.close(at=now - 200, profit=7.0)
    assert [event.data["profit"] for event in await collecting.read()] == ["1", "7"]
    collecting.fake.closed.clear()
    collecting.fake.close(at=now - 300, profit=9.0)
    assert [event.data["profit"] for event in await collecting.read()] == ["1", "7", "9"]


async def test_an_answer_that_is_not_understood_changes_nothing(collecting: Collecting) -> None:
    """It is logged, and read again at the next interval."""
    collecting.fake.raw["trades"] = (200, b'{"trades": [{"trade_id": "one"}]}')
    assert await collecting.read() == []
    del collecting.fake.raw["trades"]
    collecting.fake.close(at=clock.timestamp())
    assert len(await collecting.read()) == 1
