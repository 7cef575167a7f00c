"""Stages, supervisor, store, book and orders, with a venue that does as it is told."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from tests.service.agent.conftest import free_port
from tests.service.bot.conftest import until
from trading_ops import clock
from trading_ops.agent import CommandFailed, OrderGate, Side, TradingState
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics
from trading_ops.paper.bot.book import Book
from trading_ops.paper.bot.broker import Broker
from trading_ops.paper.bot.component import Component, Unavailable
from trading_ops.paper.bot.database import Database
from trading_ops.paper.bot.feed import Feed
from trading_ops.paper.bot.kraken import Kraken
from trading_ops.paper.bot.market import Quote, Rules
from trading_ops.paper.bot.nonce import Nonces
from trading_ops.paper.bot.order import (
    Fill,
    Order,
    OrderStatus,
    Position,
    VenueOrder,
    new_client_id,
)
from trading_ops.paper.bot.orders import LOST_SECONDS, Orders
from trading_ops.paper.bot.stage import Stage
from trading_ops.paper.bot.store import Change, Store
from trading_ops.paper.bot.strategy import Target
from trading_ops.paper.bot.supervisor import Supervisor
from trading_ops.paper.bot.venue_errors import VenueDown, VenueRefused

SYMBOL = "BTC/USD"


@pytest.fixture
def metrics() -> BotMetrics:
    return BotMetrics(version="1", mode="paper", symbols=[SYMBOL])


def sample(metrics: BotMetrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


# Stages and their supervisor


class Doubler(Stage[int, int]):
    """Doubles; fails on zero, is blocked on minus one, hangs on minus two."""

    def __init__(self, metrics: BotMetrics) -> None:
        super().__init__("signals", metrics, threshold=2, cool_off_seconds=0.05)
        self.hanging = asyncio.Event()

    async def work(self, asked: int) -> int:
        if asked == 0:
            raise ValueError("zero")
        if asked == -1:
            raise Unavailable("broker: down")
        if asked == -2:
            self.hanging.set()
            await asyncio.Event().wait()
        return 2 * asked


@pytest.fixture
async def doubler(metrics: BotMetrics) -> AsyncIterator[Doubler]:
    stage = Doubler(metrics)
    supervisor = Supervisor([stage])
    supervisor.start()
    yield stage
    await supervisor.stop()


async def test_stage_answers(doubler: Doubler, metrics: BotMetrics) -> None:
    """What is asked is worked on in the stage's own task, and success is recorded."""
    assert await doubler.ask(21, within=5) == 42
    assert doubler.up
    assert doubler.last_success_at is not None
    assert sample(metrics, "trading_component_up", component="signals") == 1


async def test_failing_stage_opens_its_breaker_and_recovers(
    doubler: Doubler, metrics: BotMetrics
) -> None:
    """Failures in a row take the stage down; after the cool-off one good answer heals it."""
    for _ in range(2):
        with pytest.raises(Unavailable, match="ValueError: zero"):
            await doubler.ask(0, within=5)
    with pytest.raises(Unavailable, match="breaker is open"):
        await doubler.ask(1, within=5)
    assert not doubler.up
    assert "zero" in doubler.health.detail
    assert sample(metrics, "trading_circuit_breaker_state", component="signals") == 2
    await until(lambda: doubler.breaker.cooling_seconds() <= 0)
    assert await doubler.ask(1, within=5) == 2
    assert doubler.up


async def test_blocked_stage_is_not_at_fault(doubler: Doubler) -> None:
    """A stage whose dependency is down stays up, however often."""
    for _ in range(5):
        with pytest.raises(Unavailable, match="broker: down"):
            await doubler.ask(-1, within=5)
    assert doubler.up


async def test_hanging_stage_is_seen_and_can_be_restarted(metrics: BotMetrics) -> None:
    """A stage that does not answer fails its asker in time, and a restart frees it."""
    stage = Doubler(metrics)
    supervisor = Supervisor([stage])
    supervisor.start()
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"no answer within 0.02 s|breaker"):
            await stage.ask(-2, within=0.02)
    assert not stage.up
    await supervisor.restart("signals", within=5)
    assert await stage.ask(4, within=5) == 8
    await supervisor.stop()


async def test_restart_refuses_who_waits(metrics: BotMetrics) -> None:
    """Who waits for a stage that is restarted is told, and not left waiting."""
    stage = Doubler(metrics)
    supervisor = Supervisor([stage])
    supervisor.start()
    waiting = asyncio.create_task(stage.ask(-2, within=5))
    await stage.hanging.wait()
    await supervisor.restart("signals", within=5)
    with pytest.raises(Unavailable, match="restarted"):
        await waiting
    await supervisor.stop()


class Crasher(Component):
    """Crashes some times, ends once, then works."""

    def __init__(self, metrics: BotMetrics) -> None:
        super().__init__("feed", metrics, threshold=2, cool_off_seconds=0.05)
        self.runs = 0

    async def run(self) -> None:
        self.runs += 1
        if self.runs == 1:
            raise RuntimeError("bug")
        if self.runs == 2:
            return
        self.mark(up=True, detail="well")
        await asyncio.Event().wait()


async def test_crashed_component_is_started_again(metrics: BotMetrics) -> None:
    """A component that crashes or ends comes back by itself, and restarts are counted."""
    component = Crasher(metrics)
    supervisor = Supervisor([component])
    supervisor.start()
    await component.wait_up()
    assert component.runs == 3
    assert sample(metrics, "trading_component_restarts_total", component="feed") == 2
    await supervisor.stop()
    assert not component.up


async def test_restarts_at_once_leave_one_component_running(metrics: BotMetrics) -> None:
    """Several restarts at the same time end with one task; after the end there is none."""
    stage = Doubler(metrics)
    supervisor = Supervisor([stage])
    supervisor.start()
    await asyncio.gather(*(supervisor.restart("signals", within=5) for _ in range(5)))
    tasks = [task for task in asyncio.all_tasks() if task.get_name() == "component-signals"]
    assert len(tasks) == 1
    await supervisor.stop()
    with pytest.raises(CommandFailed, match="stopping"):
        await supervisor.restart("signals", within=5)
    assert all(task.done() for task in tasks)


# Database and store


async def test_database_keeps_all_or_nothing(tmp_path: Path) -> None:
    """Work that fails in the middle leaves nothing behind, and the next one goes through."""
    database = Database(tmp_path / "bot.db")

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO nonces VALUES ('k', 1)")
        raise ValueError("half-way")

    def wrong(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO nothing VALUES (1)")

    with pytest.raises(ValueError, match="half-way"):
        await database.do(half)
    with pytest.raises(StoreError, match="nothing"):
        await database.do(wrong)
    count = await database.do(lambda c: c.execute("SELECT count(*) FROM nonces").fetchone()[0])
    assert count == 0
    await database.close()
    with pytest.raises(StoreError, match="closed"):
        await database.do(half)


def test_damaged_database_is_a_sentence(tmp_path: Path, metrics: BotMetrics) -> None:
    """A file that is no database is refused with a fix."""
    path = tmp_path / "bot.db"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(StoreError, match="Fix"):
        Store(metrics, path)


async def test_nonce_ceiling_never_falls(tmp_path: Path, metrics: BotMetrics) -> None:
    """The ceiling of a key only rises, and each key has its own."""
    store = Store(metrics, tmp_path / "bot.db")
    assert await store.nonce_ceiling("k") == 0
    await store.save_nonce_ceiling("k", 9)
    await store.save_nonce_ceiling("k", 5)
    assert await store.nonce_ceiling("k") == 9
    assert await store.nonce_ceiling("other") == 0
    await store.close()
    with pytest.raises(Unavailable, match="closed"):
        await store.nonce_ceiling("k")


async def test_old_orders_are_removed_with_their_fills(tmp_path: Path, metrics: BotMetrics) -> None:
    """What ended long ago goes; what is alive or recent stays, and so does the position."""
    store = Store(metrics, tmp_path / "bot.db")
    now = clock.timestamp()
    ages = {"old": now - 40 * 86_400, "alive": now - 40 * 86_400, "recent": now}
    changes = tuple(
        Change(
            order=Order(
                client_id=name,
                symbol=SYMBOL,
                side=Side.BUY,
                price=Decimal(1000),
                quantity=Decimal(1),
                created_at=created_at,
                status=OrderStatus.OPEN if name == "alive" else OrderStatus.FILLED,
            ),
            fill=Fill(client_id=name, quantity=Decimal(1), cost=Decimal(1000), fee=Decimal(0)),
            position=Position(quantity=Decimal(3)),
        )
        for name, created_at in ages.items()
    )
    await store.work(changes)
    with closing(sqlite3.connect(tmp_path / "bot.db")) as connection:
        for table in ("orders", "fills"):
            rows = connection.execute(f"SELECT client_id FROM {table}").fetchall()  # noqa: S608
            assert {row[0] for row in rows} == {"alive", "recent"}
    assert (await store.load()).positions[SYMBOL].quantity == 3
    await store.close()


# Orders, with a venue that does as it is told


class FakeKraken:
    """Answers as the test says; counts what it is asked."""

    def __init__(self) -> None:
        self.open: dict[str, VenueOrder] = {}
        self.closed: dict[str, VenueOrder] = {}
        self.submitted: list[Order] = []
        self.cancelled: list[str] = []
        self.submit_error: Exception | None = None
        self.arrives = True

    def rules(self, symbol: str) -> Rules:
        return Rules(tick=Decimal("0.1"), lot=Decimal("0.00000001"), minimum=Decimal("0.0001"))

    async def open_orders(self) -> list[VenueOrder]:
        return list(self.open.values())

    async def orders(self, venue_ids: list[str]) -> list[VenueOrder]:
        return [self.closed[name] for name in venue_ids if name in self.closed]

    async def closed_order(self, client_id: str) -> VenueOrder | None:
        return next((o for o in self.closed.values() if o.client_id == client_id), None)

    async def submit(self, order: Order) -> str:
        venue_id = f"O{len(self.submitted)}"
        self.submitted.append(order)
        if self.arrives:
            self.open[venue_id] = word(order, venue_id)
        if self.submit_error is not None:
            raise self.submit_error
        return venue_id

    async def cancel(self, venue_id: str) -> None:
        self.cancelled.append(venue_id)
        if venue_id not in self.open:
            raise VenueRefused("CancelOrder: EOrder:Unknown order")
        self.end(venue_id, OrderStatus.CANCELLED)

    def end(self, venue_id: str, status: OrderStatus, filled: str = "0") -> None:
        order = self.open.pop(venue_id)
        self.closed[venue_id] = VenueOrder(
            venue_id=venue_id,
            client_id=order.client_id,
            status=status,
            filled=Decimal(filled),
            cost=Decimal(filled) * 1000,
            fee=Decimal(0),
        )


class FakeBroker:
    """Passes requests on to the fake venue, or is down."""

    def __init__(self, client: FakeKraken) -> None:
        self.client = client
        self.down = False

    async def call(self, endpoint: str, request: Callable[[Any], Awaitable[Any]]) -> Any:
        if self.down:
            raise VenueDown("broker: down")
        return await request(self.client)


def word(order: Order, venue_id: str) -> VenueOrder:
    return VenueOrder(
        venue_id=venue_id,
        client_id=order.client_id,
        status=OrderStatus.OPEN,
        filled=Decimal(0),
        cost=Decimal(0),
        fee=Decimal(0),
    )


class Desk:
    """The orders component with its book, on a fake venue and a real store."""

    def __init__(self, metrics: BotMetrics, path: Path) -> None:
        self.metrics = metrics
        self.venue = FakeKraken()
        self.broker = FakeBroker(self.venue)
        self.store = Store(metrics, path)
        self.book = Book("alpha", metrics, self.store)
        self.state = TradingState.ACTIVE
        self.quotes = {SYMBOL: Quote(bid=Decimal(1000), ask=Decimal(1001), at=clock.timestamp())}
        self.orders = Orders(
            metrics,
            bot="alpha",
            symbols=[SYMBOL, "ETH/USD"],
            broker=cast(Broker, self.broker),
            book=self.book,
            gate=OrderGate(lambda: self.state),
            quotes=self.quotes,
            notional=Decimal(50),
            lifetime_seconds=60,
            stale_seconds=10,
        )
        self.supervisor = Supervisor([self.store, self.orders])

    async def start(self) -> None:
        self.book.restore(await self.store.load())
        self.supervisor.start()

    async def trade(self, target: Target) -> None:
        await self.orders.ask({SYMBOL: target}, within=10)

    @property
    def statuses(self) -> list[str]:
        with closing(sqlite3.connect(self.store._path)) as connection:
            rows = connection.execute("SELECT status FROM orders ORDER BY created_at").fetchall()
        return [row[0] for row in rows]


@pytest.fixture
async def desk(metrics: BotMetrics, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(metrics, tmp_path / "bot.db")
    await desk.start()
    yield desk
    await desk.supervisor.stop()


async def test_order_is_written_down_before_it_is_sent(desk: Desk) -> None:
    """At the moment the venue gets an order, it is durable here."""
    seen: list[list[str]] = []
    submit = desk.venue.submit

    async def watched(order: Order) -> str:
        seen.append(desk.statuses)
        return await submit(order)

    desk.venue.submit = watched  # type: ignore[method-assign]
    await desk.trade(Target.LONG)
    assert seen == [["sent"]]
    assert desk.statuses == ["open"]


async def test_fill_becomes_a_position(desk: Desk, metrics: BotMetrics) -> None:
    """A filled order is counted once, in memory, in the store and in the metrics."""
    await desk.trade(Target.LONG)
    desk.venue.end("O0", OrderStatus.FILLED, "0.04")
    await desk.trade(Target.LONG)
    await desk.trade(Target.LONG)
    assert desk.book.position(SYMBOL) == Position(quantity=Decimal("0.04"), cost=Decimal(40))
    assert (await desk.store.load()).positions[SYMBOL].quantity == Decimal("0.04")
    assert sample(metrics, "trading_orders_total", outcome="filled") == 1
    assert sample(metrics, "trading_position", symbol=SYMBOL) == 0.04


async def test_lost_acknowledgement_is_found_again(desk: Desk) -> None:
    """An order whose answer was lost is recognized at the venue, and not sent twice."""
    desk.venue.submit_error = VenueDown("AddOrder: timeout")
    with pytest.raises(Unavailable, match="timeout"):
        await desk.trade(Target.LONG)
    assert desk.statuses == ["sent"]
    await desk.trade(Target.LONG)
    assert desk.statuses == ["open"]
    assert len(desk.venue.submitted) == 1


async def test_lost_order_that_was_filled_meanwhile(desk: Desk) -> None:
    """An order whose answer was lost and that is closed by now is found among the closed ones."""
    desk.venue.submit_error = VenueDown("AddOrder: timeout")
    with pytest.raises(Unavailable):
        await desk.trade(Target.LONG)
    desk.venue.end("O0", OrderStatus.FILLED, "0.04")
    await desk.trade(Target.LONG)
    assert desk.statuses == ["filled"]
    assert desk.book.position(SYMBOL).quantity == Decimal("0.04")


async def test_order_that_never_arrived_is_given_up(
    desk: Desk, metrics: BotMetrics, tmp_path: Path
) -> None:
    """Only after a while is an order that the venue does not know taken for lost."""
    desk.venue.submit_error, desk.venue.arrives = VenueDown("AddOrder: timeout"), False
    with pytest.raises(Unavailable):
        await desk.trade(Target.LONG)
    await desk.trade(Target.LONG)
    assert desk.statuses == ["sent"]
    (order,) = desk.book.alive()
    object.__setattr__(order, "created_at", clock.timestamp() - LOST_SECONDS - 1)
    desk.venue.submit_error = None
    await desk.trade(Target.UNKNOWN)
    assert desk.statuses == ["rejected"]


async def test_rejected_order_ends(desk: Desk, metrics: BotMetrics) -> None:
    """The venue's no ends the order and nothing else."""
    desk.venue.submit_error, desk.venue.arrives = VenueRefused("EOrder:Insufficient funds"), False
    await desk.trade(Target.LONG)
    assert desk.statuses == ["rejected"]
    assert sample(metrics, "trading_orders_total", outcome="rejected") == 1
    assert desk.orders.up


async def test_contradicted_order_is_cancelled(desk: Desk, metrics: BotMetrics) -> None:
    """When the target turns, the open order goes; a cancel that came too late is harmless."""
    await desk.trade(Target.LONG)
    await desk.trade(Target.FLAT)
    await desk.trade(Target.FLAT)
    assert desk.statuses == ["cancelled"]
    await desk.orders._cancel_at_venue("O0")
    assert sample(metrics, "trading_open_orders") == 0


async def test_leftovers_of_an_earlier_life_are_cancelled(
    metrics: BotMetrics, tmp_path: Path
) -> None:
    """At the first pass own orders go, known or not; those of others stay."""
    first = Desk(metrics, tmp_path / "bot.db")
    await first.start()
    await first.trade(Target.LONG)
    await first.supervisor.stop()
    second = Desk(BotMetrics(version="1", mode="paper"), tmp_path / "bot.db")
    second.venue.open = first.venue.open
    for venue_id, client_id in (("OWN", new_client_id("alpha")), ("ELSE", new_client_id("beta"))):
        order = Order(
            client_id=client_id,
            symbol=SYMBOL,
            side=Side.BUY,
            price=Decimal(1),
            quantity=Decimal(1),
            created_at=0,
        )
        second.venue.open[venue_id] = word(order, venue_id)
    await second.start()
    await second.trade(Target.UNKNOWN)
    assert sorted(second.venue.cancelled) == ["O0", "OWN"]
    assert list(second.venue.open) == ["ELSE"]
    assert second.statuses == ["cancelled"]
    await second.supervisor.stop()


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("halted", "trading_halted"),
        ("reducing", "trading_reducing"),
        ("stopping", "stopping"),
        ("stale", "market_data_stale"),
        ("small", "below_minimum_size"),
    ],
)
async def test_denied_order_never_leaves(
    desk: Desk, metrics: BotMetrics, case: str, code: str
) -> None:
    """What the bot's own checks deny is counted by reason and not sent."""
    match case:
        case "stopping":
            desk.orders.stopping = True
        case "stale":
            desk.quotes[SYMBOL] = Quote(bid=Decimal(1000), ask=Decimal(1001), at=0.0)
        case "small":
            desk.orders._notional = Decimal("0.05")
        case _:
            desk.state = TradingState(case)
    await desk.trade(Target.LONG)
    assert desk.venue.submitted == []
    assert sample(metrics, "trading_order_denials_total", code=code) == 1
    assert desk.statuses == []


async def test_reducing_lets_the_exit_through(desk: Desk) -> None:
    """While reducing, selling what is held passes."""
    desk.book.positions[SYMBOL] = Position(quantity=Decimal(1), cost=Decimal(1000))
    desk.state = TradingState.REDUCING
    await desk.trade(Target.FLAT)
    assert [order.side for order in desk.venue.submitted] == [Side.SELL]


async def test_broker_that_is_down_blocks_and_is_no_fault(desk: Desk) -> None:
    """Passes with the broker down do not count, and orders stays up."""
    desk.broker.down = True
    for _ in range(4):
        with pytest.raises(Unavailable, match="down"):
            await desk.trade(Target.LONG)
    assert desk.orders.up


# The broker's own corners


async def refuse_to_save(_: int) -> None:
    raise StoreError("the disk is full")


async def test_broker_without_nonces_is_down(metrics: BotMetrics) -> None:
    """Without a durable nonce nothing is sent, and the broker says why."""
    nonces = Nonces(0, refuse_to_save, metrics)
    broker = Broker(
        metrics,
        make_client=lambda: Kraken(
            address=f"127.0.0.1:{free_port()}",
            key="k",
            secret="cw==",
            timeout_seconds=1,
            issue_nonce=nonces.issue,
        ),
        nonces=nonces,
        probe_interval_seconds=0.05,
    )
    with pytest.raises(CommandFailed, match="starting"):
        await broker.reconnect()
    with pytest.raises(VenueDown, match="closed"):
        await broker.call("OpenOrders", lambda client: client.open_orders())
    with pytest.raises(VenueDown, match="not loaded"):
        _ = broker.client
    supervisor = Supervisor([broker])
    supervisor.start()
    await until(lambda: "the disk is full" in broker.detail)
    assert not broker.up
    await until(lambda: not broker.breaker.closed)
    with pytest.raises(VenueDown, match="the disk is full"):
        await broker.call("OpenOrders", lambda client: client.open_orders())
    await supervisor.stop()


IMPORTS = """
import sys
from trading_ops.paper.bot.ccxt_kraken import kraken_class
lean = kraken_class()
assert "ccxt.binance" not in sys.modules
import ccxt.async_support
assert ccxt.async_support.kraken is lean
assert issubclass(ccxt.InvalidNonce, ccxt.NetworkError)
assert kraken_class() is lean
"""

BROKEN = """
import sys
from importlib.abc import MetaPathFinder

class Refuser(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "ccxt.base.errors" and "ccxt.base.exchange" not in sys.modules:
            sys.meta_path.remove(self)
            raise ImportError("another version")

sys.meta_path.insert(0, Refuser())
from trading_ops.paper.bot.ccxt_kraken import kraken_class
assert kraken_class().__name__ == "kraken"
assert "ccxt.binance" in sys.modules
"""


@pytest.mark.parametrize("code", [IMPORTS, BROKEN], ids=["lean", "fallen back"])
def test_lean_import_leaves_ccxt_whole(code: str) -> None:
    """Only Kraken is imported at first, the rest stays available, and a surprise is survived."""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# The feed's own corners


async def test_feed_survives_what_it_cannot_read(metrics: BotMetrics) -> None:
    """Junk, refusals and foreign channels are passed over; the next ticker counts."""
    port = free_port()
    ticker = {"symbol": SYMBOL, "bid": 1000.0, "ask": 1001.0}
    messages = [
        "{",
        json.dumps({"method": "subscribe", "success": False, "error": "no such pair"}),
        json.dumps({"channel": "heartbeat"}),
        json.dumps({"channel": "ticker", "data": [{"symbol": SYMBOL}]}),
        json.dumps({"channel": "ticker", "data": [ticker]}),
    ]

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_bytes(b"binary")
        for message in messages:
            await socket.send_str(message)
        async for _ in socket:
            pass
        return socket

    app = web.Application()
    app.router.add_get("/v2", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    feed = Feed(
        metrics, address=f"127.0.0.1:{port}", symbols=[SYMBOL], timeout_seconds=1, stale_seconds=1
    )
    supervisor = Supervisor([feed])
    supervisor.start()
    await until(lambda: SYMBOL in feed.quotes)
    assert feed.quotes[SYMBOL].middle == Decimal("1000.5")
    assert sample(metrics, "trading_market_data_messages_total", symbol=SYMBOL) == 1
    await supervisor.stop()
    await runner.cleanup()
