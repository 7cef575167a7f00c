"""The store component: the only SQL of the bot, and what must be durable before it is sent."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from trading_ops import clock
from trading_ops.agent import Side
from trading_ops.instrument import BotMetrics
from trading_ops.paper.bot.component import Unavailable
from trading_ops.paper.bot.records.database import Database
from trading_ops.paper.bot.stage import Stage
from trading_ops.paper.bot.trading.order import Fill, Order, OrderStatus, Position

Result = TypeVar("Result")

KEPT_SECONDS = 30 * 86_400.0
"""Age up to which orders that ended are kept; a bot that runs for months must not fill the disk."""

PRUNE_SECONDS = 3600.0
"""Interval at which older ones are removed."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What belongs together: it is stored whole or not at all."""

    order: Order
    fill: Fill | None = None
    position: Position | None = None
    """The position in the order's symbol after the fill."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What a bot finds when it starts."""

    alive: list[Order] = field(default_factory=list)
    positions: dict[str, Position] = field(default_factory=dict)


class Store(Stage[tuple[Change, ...], None]):
    """Stores changes; opens its file again when it is restarted."""

    def __init__(self, metrics: BotMetrics, path: Path) -> None:
        """Open the file.

        Raises:
            StoreError: it cannot be opened.
        """
        super().__init__("store", metrics)
        self._path = path
        self._database: Database | None = Database(path)
        self._prune_due = clock.monotonic()

    async def work(self, asked: tuple[Change, ...]) -> None:
        """Commit some changes together."""
        await self._do(lambda connection: _save(connection, asked))
        if clock.monotonic() >= self._prune_due:
            self._prune_due = clock.monotonic() + PRUNE_SECONDS
            await self._do(_prune)

    async def run(self) -> None:
        """Open the file if it was closed, then work."""
        if self._database is None:
            self._database = Database(self._path)
        await super().run()

    async def close(self) -> None:
        """Finish what was given, then close the file."""
        await super().close()
        database, self._database = self._database, None
        if database is not None:
            await database.close()

    async def load(self) -> Memory:
        """Return the orders that may be alive, and the positions."""
        return await self._do(_load)

    async def nonce_ceiling(self, key: str) -> int:
        """Return the highest nonce that may have been issued for a key, 0 for none."""

        def read(connection: sqlite3.Connection) -> int:
            row = connection.execute("SELECT ceiling FROM nonces WHERE key = ?", (key,)).fetchone()
            return int(row[0]) if row else 0

        return await self._do(read)

    async def save_nonce_ceiling(self, key: str, ceiling: int) -> None:
        """Keep a key's ceiling; a lower one than the stored is ignored."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO nonces VALUES (?, ?) ON CONFLICT (key)"
                " DO UPDATE SET ceiling = max(ceiling, excluded.ceiling)",
                (key, ceiling),
            )

        await self._do(write)

    async def _do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        if self._database is None:
            raise Unavailable("store: it is closed")
        return await self._database.do(work)


def _save(connection: sqlite3.Connection, changes: tuple[Change, ...]) -> None:
    for change in changes:
        _save_order(connection, change.order)
        if change.fill is not None:
            fill = change.fill
            connection.execute(
                "INSERT INTO fills (client_id, quantity, cost, fee, at) VALUES (?, ?, ?, ?, ?)",
                (
                    fill.client_id,
                    str(fill.quantity),
                    str(fill.cost),
                    str(fill.fee),
                    clock.timestamp(),
                ),
            )
        if change.position is not None:
            held = change.position
            connection.execute(
                "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?)",
                (change.order.symbol, str(held.quantity), str(held.cost), str(held.realized)),
            )


def _prune(connection: sqlite3.Connection) -> None:
    old = "SELECT client_id FROM orders WHERE created_at < ? AND status NOT IN ('sent', 'open')"
    before = (clock.timestamp() - KEPT_SECONDS,)
    connection.execute(f"DELETE FROM fills WHERE client_id IN ({old})", before)  # noqa: S608 - ours
    connection.execute(f"DELETE FROM orders WHERE client_id IN ({old})", before)  # noqa: S608


def _save_order(connection: sqlite3.Connection, order: Order) -> None:
    connection.execute(
        "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (client_id)"
        " DO UPDATE SET venue_id = excluded.venue_id, filled = excluded.filled,"
        " cost = excluded.cost, fee = excluded.fee, status = excluded.status",
        (
            order.client_id,
            order.venue_id,
            order.symbol,
            order.side.value,
            str(order.price),
            str(order.quantity),
            str(order.filled),
            str(order.cost),
            str(order.fee),
            order.status.value,
            order.created_at,
        ),
    )


def _load(connection: sqlite3.Connection) -> Memory:
    orders = connection.execute(
        "SELECT client_id, venue_id, symbol, side, price, quantity, filled, cost, fee, status,"
        " created_at FROM orders WHERE status IN ('sent', 'open') ORDER BY created_at"
    ).fetchall()
    positions = connection.execute(
        "SELECT symbol, quantity, cost, realized FROM positions"
    ).fetchall()
    return Memory(
        alive=[
            Order(
                client_id=row[0],
                venue_id=row[1],
                symbol=row[2],
                side=Side(row[3]),
                price=Decimal(row[4]),
                quantity=Decimal(row[5]),
                filled=Decimal(row[6]),
                cost=Decimal(row[7]),
                fee=Decimal(row[8]),
                status=OrderStatus(row[9]),
                created_at=row[10],
            )
            for row in orders
        ],
        positions={
            row[0]: Position(
                quantity=Decimal(row[1]), cost=Decimal(row[2]), realized=Decimal(row[3])
            )
            for row in positions
        },
    )
