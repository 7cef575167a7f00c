"""The bot's database and store: all or nothing, and what is kept."""

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from tests.service.bot.conftest import SYMBOL
from trading_ops import clock
from trading_ops.agent import Side
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics
from trading_ops.paper.bot.component import Unavailable
from trading_ops.paper.bot.records.database import Database
from trading_ops.paper.bot.records.store import Change, Store
from trading_ops.paper.bot.trading.order import Fill, Order, OrderStatus, Position


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
