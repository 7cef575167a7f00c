"""The bot's records, in both databases: all or nothing, upgrades, and what is kept."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Cluster
from tests.service.botkit.conftest import SYMBOL, until
from trading_ops import clock
from trading_ops.agent import Side
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.orders.order import Fill, Order, OrderStatus, OrderType, Position
from trading_ops.botkit.records.driver import ThreadedDatabase
from trading_ops.botkit.records.events import Event, EventLogKind, latest_events
from trading_ops.botkit.records.orders import Adopted, Change
from trading_ops.botkit.records.postgresql import PostgresqlDriver
from trading_ops.botkit.records.schema import VERSION_1
from trading_ops.botkit.records.sql import Database, Session
from trading_ops.botkit.records.sqlite import SqliteDriver
from trading_ops.botkit.records.store import Store
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics

Open = Callable[[], Database]
ENDLESS = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)
SELECT count(*) FROM n
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "sqlite":
        return lambda: ThreadedDatabase(SqliteDriver(tmp_path / "bot.db"))
    cluster: Cluster = request.getfixturevalue("postgres")
    url = plain(cluster.new_database(migrated=False))
    return lambda: ThreadedDatabase(PostgresqlDriver(url, "alpha-1"))


@pytest.fixture(params=["sqlite", "postgresql"])
def opened_by(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[BotMetrics], Database]:
    """Open records that tell of themselves."""
    if request.param == "sqlite":
        return lambda metrics: ThreadedDatabase(SqliteDriver(tmp_path / "bot.db"), metrics)
    cluster: Cluster = request.getfixturevalue("postgres")
    url = plain(cluster.new_database(migrated=False))
    return lambda metrics: ThreadedDatabase(PostgresqlDriver(url, "alpha-1"), metrics)


@pytest.fixture
async def store(opened: Open, metrics: BotMetrics) -> AsyncIterator[Store]:
    store = Store(metrics, opened)
    yield store
    await store.close()


def plain(url: str) -> str:
    return url.replace("postgresql+psycopg", "postgresql")


def order(name: str = "c", **given: Any) -> Order:
    fields: dict[str, Any] = {
        "client_id": name,
        "symbol": SYMBOL,
        "side": Side.BUY,
        "price": Decimal("1000.10"),
        "quantity": Decimal("1.50000000"),
        "created_at": clock.timestamp(),
    }
    return Order(**(fields | given))


def fill(name: str = "c", upto: str = "1") -> Fill:
    return Fill(
        client_id=name,
        quantity=Decimal(1),
        upto=Decimal(upto),
        cost=Decimal(1000),
        fee=Decimal("0.1"),
    )


def pool(metrics: BotMetrics) -> tuple[float | None, ...]:
    """Return what is reported the connection: in use, idle, made so far, given up."""
    sample = metrics.registry.get_sample_value
    name = "trading_database_pool_"
    states = [
        sample(f"{name}connections", {"pool": "records", "state": state})
        for state in ("in_use", "idle")
    ]
    totals = [
        sample(f"{name}{what}_total", {"pool": "records"})
        for what in ("connections_made", "invalidated")
    ]
    return (*states, *totals)


async def count(store: Store, table: str) -> int:
    def read(session: Session) -> int:
        row = session.execute(f"SELECT count(*) FROM {table}").one()  # noqa: S608
        return int(row[0]) if row else -1

    return await store.transact(read)


async def test_all_or_nothing(store: Store) -> None:
    """Work that fails in the middle leaves nothing behind, and the next one goes through."""

    def half(session: Session) -> None:
        session.execute("INSERT INTO nonces VALUES ('k', 1)")
        raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        await store.transact(half)
    with pytest.raises(StoreError, match="nothing"):
        await store.transact(lambda session: session.execute("INSERT INTO nothing VALUES (1)"))
    assert await count(store, "nonces") == 0
    await store.close()
    with pytest.raises(Unavailable, match="closed"):
        await store.transact(half)


async def test_every_field_comes_back(store: Store, opened: Open, metrics: BotMetrics) -> None:
    """What is stored is found again to the last digit, by another process too."""
    protecting = order(
        "stop",
        type=OrderType.STOP_LOSS,
        stop_price=Decimal("990.00"),
        venue_id="V1",
        status=OrderStatus.PARTIALLY_FILLED,
        filled=Decimal("0.00000001"),
        cost=Decimal("0.1"),
        fee=Decimal("1E-12"),
        reason="späte Füllung? 100 %",
    )
    held = Position(quantity=Decimal("0.00000001"), cost=Decimal("1.10"), realized=Decimal(-3))
    change = Change(order=protecting, positions={SYMBOL: held}, expected={"USD": Decimal("1.20")})
    await store.work((change,))
    await store.set_fact("mode", {"mode": "paper", "since": 1.5})
    await store.close()
    again = Store(metrics, opened)
    memory = await again.load()
    assert memory.open_orders == [protecting]
    assert str(memory.open_orders[0].fee) == str(protecting.fee)
    assert memory.positions == {SYMBOL: held}
    assert memory.expected == {"USD": Decimal("1.20")}
    assert await again.find("stop") == protecting
    assert await again.find("other") is None
    assert await again.fact("mode", dict) == {"mode": "paper", "since": 1.5}
    assert await again.fact("other", dict) is None
    with pytest.raises(StoreError, match="damaged"):
        await again.fact("mode", int)
    await again.close()


async def test_the_same_change_twice_is_one(store: Store) -> None:
    """A change whose answer was lost is made again, and counts once."""
    adopted = Adopted(kind="trade", id="T1", detail="by hand", at=1.0)
    change = Change(order=order(), fill=fill(), adopted=adopted)
    await store.work((change,))
    await store.work((change,))
    assert [await count(store, table) for table in ("orders", "fills", "adopted")] == [1, 1, 1]
    await store.work((Change(fill=fill(upto="1.5")),))
    assert await count(store, "fills") == 2
    assert await store.adopted_among([("trade", "T1"), ("ledger", "T1")]) == {("trade", "T1")}


async def test_nonce_ceiling_never_falls(store: Store) -> None:
    """The ceiling of a key only rises, and each key has its own."""
    assert await store.nonce_ceiling("k") == 0
    await store.save_nonce_ceiling("k", 2**53 + 9)
    await store.save_nonce_ceiling("k", 5)
    assert await store.nonce_ceiling("k") == 2**53 + 9
    assert await store.nonce_ceiling("other") == 0


async def test_old_orders_are_removed_with_their_fills(store: Store) -> None:
    """What ended long ago goes; what is alive or recent stays, and so does the position."""
    now = clock.timestamp()
    old = now - 40 * 86_400
    events = (Event(at=now - 100 * 86_400, kind=EventLogKind.RISK, code="old"),)
    orders = (
        order("old", created_at=old, status=OrderStatus.FILLED),
        order("alive", created_at=old, status=OrderStatus.ACCEPTED),
        order("recent", status=OrderStatus.FILLED),
    )
    held = {SYMBOL: Position(quantity=Decimal(3))}
    await store.work(
        tuple(
            Change(order=placed, fill=fill(placed.client_id), positions=held, events=events)
            for placed in orders
        )
    )

    def names(table: str) -> Callable[[Session], set[str]]:
        query = f"SELECT client_id FROM {table}"  # noqa: S608
        return lambda session: {row[0] for row in session.execute(query).all()}

    assert await store.transact(names("orders")) == {"alive", "recent"}
    assert await store.transact(names("fills")) == {"alive", "recent"}
    assert await count(store, "events") == 0
    assert (await store.load()).positions[SYMBOL].quantity == 3


async def test_events_are_found_newest_first(store: Store) -> None:
    """Events keep their detail, and one kind can be asked for."""
    now = clock.timestamp()
    events = tuple(
        Event(at=now + number, kind=kind, code=f"c{number}", symbol=SYMBOL, detail={"n": number})
        for number, kind in enumerate((EventLogKind.ORDER, EventLogKind.RISK, EventLogKind.ORDER))
    )
    await store.work((Change(events=events),))
    every = await store.transact(lambda session: latest_events(session, kind=None, number=2))
    assert every == [events[2], events[1]]
    risk = await store.transact(
        lambda session: latest_events(session, kind=EventLogKind.RISK, number=9)
    )
    assert risk == [events[1]]


async def test_newer_records_are_refused(opened: Open) -> None:
    """An older release does not touch what a newer one wrote."""
    database = opened()
    await database.transact(
        lambda session: session.execute("INSERT INTO schema_version VALUES (99)")
    )
    await database.close()
    with pytest.raises(StoreError, match=r"99.*newer release"):
        opened()


async def test_first_version_is_upgraded(tmp_path: Path, metrics: BotMetrics) -> None:
    """What the first release wrote, which knew no versions, is taken over whole."""
    path = tmp_path / "bot.db"
    with closing(sqlite3.connect(path)) as connection:
        types = {"integer": "INTEGER", "real": "REAL", "strict": " STRICT"}
        connection.executescript(VERSION_1.format(numbered="INTEGER PRIMARY KEY", **types))
        connection.execute(
            "INSERT INTO orders VALUES ('c', NULL, 'BTC/USD', 'buy', '1', '2', '0', '0', '0',"
            " 'sent', 5.0)"
        )
        connection.execute(
            "INSERT INTO orders SELECT 'd', 'V', symbol, side, price, quantity,"
            " '1', '1', '0', 'open', 6.0 FROM orders"
        )
        connection.execute(
            "INSERT INTO fills (client_id, quantity, cost, fee, at)"
            " VALUES ('d', '1', '1', '0', 7.0)"
        )
        connection.execute("INSERT INTO positions VALUES ('BTC/USD', '1', '1', '0')")
        connection.commit()
    store = Store(metrics, lambda: ThreadedDatabase(SqliteDriver(path)))
    memory = await store.load()
    assert [(open_order.client_id, open_order.status) for open_order in memory.open_orders] == [
        ("c", OrderStatus.SUBMITTED),
        ("d", OrderStatus.ACCEPTED),
    ]
    assert all(open_order.type is OrderType.LIMIT for open_order in memory.open_orders)
    assert memory.positions["BTC/USD"].quantity == 1
    assert await count(store, "fills") == 1
    await store.close()


def test_damaged_database_is_a_sentence(tmp_path: Path, metrics: BotMetrics) -> None:
    """A file that is not a database is refused with a fix."""
    path = tmp_path / "bot.db"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(StoreError, match="Fix"):
        Store(metrics, lambda: ThreadedDatabase(SqliteDriver(path)))


async def test_server_that_comes_back_is_used_again(postgres: Cluster, metrics: BotMetrics) -> None:
    """A connection that is cut fails one change; the next one has a new connection."""
    url = postgres.new_database(migrated=False)
    store = Store(metrics, lambda: ThreadedDatabase(PostgresqlDriver(plain(url), "alpha")))
    await store.work((Change(order=order()),))
    assert postgres.terminate_backends(url) == 1
    with pytest.raises(StoreError, match="schema bot_alpha") as caught:
        await store.work((Change(order=order("lost")),))
    assert postgres.password not in str(caught.value)
    await store.work((Change(order=order("next")),))
    assert await count(store, "orders") == 2
    await store.close()


async def test_a_renewed_connection_is_counted_and_loses_nothing(
    opened_by: Callable[[BotMetrics], Database], metrics: BotMetrics
) -> None:
    """What runs and what waits is kept; the pool's figures tell of the new connection."""
    store = Store(metrics, lambda: opened_by(metrics))
    began, go_on = threading.Event(), threading.Event()

    def slow(session: Session) -> None:
        began.set()
        assert go_on.wait(60)
        session.execute("INSERT INTO nonces VALUES ('slow', 1)")

    assert pool(metrics) == (0, 1, 1, 0)
    running = asyncio.create_task(store.transact(slow))
    await asyncio.to_thread(began.wait, 60)
    assert pool(metrics) == (1, 0, 1, 0)
    waiting = asyncio.create_task(store.save_nonce_ceiling("waiting", 2))
    await asyncio.sleep(0)
    renewal = asyncio.create_task(store.reconnect(interrupt=False))
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(running, waiting, renewal)
    await until(lambda: pool(metrics) == (0, 1, 2, 0))
    assert await count(store, "nonces") == 2
    await store.close()
    assert pool(metrics)[:2] == (0, 0)


async def test_a_statement_that_hangs_is_given_up(
    opened_by: Callable[[BotMetrics], Database], metrics: BotMetrics
) -> None:
    """It fails, what it did is undone, what waited goes through on the new connection."""
    store = Store(metrics, lambda: opened_by(metrics))
    began = threading.Event()

    def endless(session: Session) -> None:
        session.execute("INSERT INTO nonces VALUES ('half', 1)")
        began.set()
        session.execute(ENDLESS).one()

    running = asyncio.create_task(store.transact(endless))
    await asyncio.to_thread(began.wait, 60)
    waiting = asyncio.create_task(store.save_nonce_ceiling("waiting", 2))
    await asyncio.sleep(0)
    await store.reconnect(interrupt=True)
    with pytest.raises(StoreError):
        await running
    await waiting
    assert await count(store, "nonces") == 1
    await until(lambda: pool(metrics) == (0, 1, 2, 1))
    await store.close()


async def test_no_one_waits_for_ever(tmp_path: Path, metrics: BotMetrics) -> None:
    """What gives no answer is broken off, and the next piece of work goes through."""
    database = ThreadedDatabase(SqliteDriver(tmp_path / "bot.db"), metrics, answer_seconds=0.3)
    store = Store(metrics, lambda: database)
    with pytest.raises(StoreError, match="no answer within"):
        await store.transact(lambda session: session.execute(ENDLESS).one())
    await until(lambda: pool(metrics)[0] == 0)
    await store.save_nonce_ceiling("k", 1)
    assert await count(store, "nonces") == 1
    await store.close()


async def test_a_server_that_is_frozen_stops_no_one_for_ever(
    tmp_path: Path, metrics: BotMetrics
) -> None:
    """No limit of the database or of TCP ends such a statement."""
    with Cluster(fast=True) as cluster:
        url = plain(cluster.new_database(migrated=False))
        database = ThreadedDatabase(PostgresqlDriver(url, "alpha"), metrics, answer_seconds=1.0)
        store = Store(metrics, lambda: database)
        await store.save_nonce_ceiling("k", 1)
        with cluster.paused():
            for _ in range(2):  # on the connection that is there, and on none
                with pytest.raises(StoreError, match="no answer within 1 s"):
                    await store.load()
        await _again(lambda: store.save_nonce_ceiling("k", 2))
        assert await store.nonce_ceiling("k") == 2
        await store.close()


async def _again(work: Callable[[], Awaitable[None]]) -> None:
    """Try until it goes through: what was broken off may take the first try with it."""
    for _ in range(20):
        try:
            return await work()
        except StoreError:
            continue
    raise AssertionError("the records did not come back")


async def test_a_database_that_is_away_is_opened_when_it_is_back(
    tmp_path: Path, metrics: BotMetrics
) -> None:
    """A renewal that found nothing is reported, and the next one tries again."""
    home = tmp_path / "home"
    home.mkdir()
    store = Store(metrics, lambda: ThreadedDatabase(SqliteDriver(home / "bot.db"), metrics))
    await store.save_nonce_ceiling("k", 1)
    home.rename(tmp_path / "away")
    with pytest.raises(StoreError, match="unable to open"):
        await store.reconnect(interrupt=True)
    with pytest.raises(StoreError, match="unable to open"):
        await store.nonce_ceiling("k")
    assert pool(metrics)[:2] == (0, 0)
    (tmp_path / "away").rename(home)
    assert await store.nonce_ceiling("k") == 1
    await store.close()
    with pytest.raises(Unavailable, match="closed"):
        await store.reconnect(interrupt=False)


async def test_two_instances_make_the_tables_once(postgres: Cluster) -> None:
    """Instances that start at the same time on an empty server do not fall over each other."""
    for _ in range(3):
        url = plain(postgres.new_database(migrated=False))
        twins = [asyncio.to_thread(_open_twin, url) for _ in range(4)]
        for database in await asyncio.gather(*twins):
            await database.close()


def _open_twin(url: str) -> ThreadedDatabase:
    return ThreadedDatabase(PostgresqlDriver(url, "twin"))
