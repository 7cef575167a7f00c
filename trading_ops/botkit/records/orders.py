"""Tables of orders, fills, positions and expected balances; each change is one transaction."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from trading_ops.agent import Side
from trading_ops.botkit.orders.order import (
    OPEN_STATUSES,
    Fill,
    Order,
    OrderStatus,
    OrderType,
    Position,
    Purpose,
)
from trading_ops.botkit.records.events import (
    Event,
    EventLogKind,
    add_events,
    events_since,
    origin_of,
)
from trading_ops.botkit.records.sql import Row, Session

KEPT_SECONDS = 30 * 86_400.0
"""Age up to which closed orders are kept, so that the database does not grow without limit."""

_OPEN = ", ".join(f"'{status.value}'" for status in sorted(OPEN_STATUSES))
_COLUMNS = (
    "client_id, venue_id, symbol, side, type, purpose, price, stop_price, quantity, filled, cost,"
    " fee, status, reason, created_at, ended_at"
)


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """A trade or ledger entry that is not from this bot; it is counted once."""

    kind: str
    """`trade` or `ledger`."""

    id: str
    """The venue's ID."""

    detail: str
    """A human-readable description."""

    at: float
    """Seconds since the epoch."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """Changes that must be stored in one transaction.

    Example:
        change = Change(order=order, fill=fill, positions={"BTC/USD": position})
        await store.ask((change,), within=5.0)
    """

    order: Order | None = None
    fill: Fill | None = None
    positions: Mapping[str, Position] = field(default_factory=dict)
    """Changed positions by symbol, after the change."""

    expected: Mapping[str, Decimal] = field(default_factory=dict)
    """Changed expected balances by currency, after the change."""

    adopted: Adopted | None = None
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StoredState:
    """The stored state that a bot continues with after a restart."""

    open_orders: list[Order] = field(default_factory=list)
    positions: dict[str, Position] = field(default_factory=dict)
    expected: dict[str, Decimal] = field(default_factory=dict)
    origins: dict[str, dict[str, str]] = field(default_factory=dict)
    """Strategy and signal of the open orders that name one."""


def save(session: Session, change: Change, now: float) -> None:
    """Store a change in the given transaction; storing it again has no effect.

    Args:
        session: of the transaction.
        change: what to store.
        now: the time of its fill, in seconds since the epoch.
    """
    if change.order is not None:
        _save_order(session, change.order)
    if change.fill is not None:
        fill = change.fill
        session.execute(
            "INSERT INTO fills (client_id, quantity, upto, cost, fee, at)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (client_id, upto) DO NOTHING",
            (
                fill.client_id,
                str(fill.quantity),
                str(fill.upto),
                str(fill.cost),
                str(fill.fee),
                now,
            ),
        )
    for symbol, held in change.positions.items():
        session.execute(
            "INSERT INTO positions (symbol, quantity, cost, realized) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (symbol) DO UPDATE SET quantity = excluded.quantity,"
            " cost = excluded.cost, realized = excluded.realized",
            (symbol, str(held.quantity), str(held.cost), str(held.realized)),
        )
    for currency, amount in change.expected.items():
        session.execute(
            "INSERT INTO expected_balances (currency, amount) VALUES (?, ?)"
            " ON CONFLICT (currency) DO UPDATE SET amount = excluded.amount",
            (currency, str(amount)),
        )
    if change.adopted is not None:
        adopted = change.adopted
        session.execute(
            "INSERT INTO adopted (kind, id, detail, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (adopted.kind, adopted.id, adopted.detail, adopted.at),
        )
    add_events(session, change.events)


def _origins(session: Session, orders: list[Order]) -> dict[str, dict[str, str]]:
    ids = {order.client_id for order in orders}
    if not ids:
        return {}
    oldest = min(order.created_at for order in orders)
    found = events_since(session, kind=EventLogKind.SIGNAL, since=oldest)
    return {
        order.order_id: origin_of(order)
        for order in found
        if order.order_id and order.order_id in ids
    }


def load(session: Session) -> StoredState:
    """Return the open orders, the positions and the expected balances."""
    orders = session.execute(
        f"SELECT {_COLUMNS} FROM orders WHERE status IN ({_OPEN})"  # noqa: S608 - ours
        " ORDER BY created_at"
    ).all()
    positions = session.execute("SELECT symbol, quantity, cost, realized FROM positions").all()
    expected = session.execute("SELECT currency, amount FROM expected_balances").all()
    open_orders = [_order(row) for row in orders]
    return StoredState(
        open_orders=open_orders,
        origins=_origins(session, open_orders),
        positions={
            row[0]: Position(
                quantity=Decimal(row[1]), cost=Decimal(row[2]), realized=Decimal(row[3])
            )
            for row in positions
        },
        expected={row[0]: Decimal(row[1]) for row in expected},
    )


def find(session: Session, client_id: str) -> Order | None:
    """Return the recorded state of an order, open or closed; None when it is not recorded."""
    row = session.execute(
        f"SELECT {_COLUMNS} FROM orders WHERE client_id = ?",  # noqa: S608 - ours
        (client_id,),
    ).one()
    return None if row is None else _order(row)


def by_venue_ids(session: Session, venue_ids: Collection[str]) -> list[Order]:
    """Return the recorded orders with these venue IDs; unknown IDs are omitted."""
    found = []
    for venue_id in venue_ids:
        row = session.execute(
            f"SELECT {_COLUMNS} FROM orders WHERE venue_id = ?",  # noqa: S608 - ours
            (venue_id,),
        ).one()
        if row is not None:
            found.append(_order(row))
    return found


def times_since(session: Session, at: float) -> list[float]:
    """Return the creation times of orders after `at`, in seconds since the epoch."""
    rows = session.execute("SELECT created_at FROM orders WHERE created_at > ?", (at,)).all()
    return [float(row[0]) for row in rows]


def is_adopted(session: Session, kind: str, adopted_id: str) -> bool:
    """Return whether a trade or ledger entry was adopted before."""
    row = session.execute(
        "SELECT 1 FROM adopted WHERE kind = ? AND id = ?", (kind, adopted_id)
    ).one()
    return row is not None


def prune(session: Session, now: float) -> None:
    """Remove closed orders, and their fills, that are older than `KEPT_SECONDS`."""
    old = f"SELECT client_id FROM orders WHERE created_at < ? AND status NOT IN ({_OPEN})"  # noqa: S608
    before = (now - KEPT_SECONDS,)
    session.execute(f"DELETE FROM fills WHERE client_id IN ({old})", before)  # noqa: S608
    session.execute(f"DELETE FROM orders WHERE client_id IN ({old})", before)  # noqa: S608


def _save_order(session: Session, order: Order) -> None:
    session.execute(
        f"INSERT INTO orders ({_COLUMNS})"  # noqa: S608 - ours
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (client_id)"
        " DO UPDATE SET venue_id = excluded.venue_id, filled = excluded.filled,"
        " cost = excluded.cost, fee = excluded.fee, status = excluded.status,"
        " reason = excluded.reason, ended_at = excluded.ended_at",
        (
            order.client_id,
            order.venue_id,
            order.symbol,
            order.side.value,
            order.type.value,
            order.purpose.value,
            str(order.price),
            None if order.stop_price is None else str(order.stop_price),
            str(order.quantity),
            str(order.filled),
            str(order.cost),
            str(order.fee),
            order.status.value,
            order.reason,
            order.created_at,
            order.ended_at,
        ),
    )


def _order(row: Row) -> Order:
    return Order(
        client_id=row[0],
        venue_id=row[1],
        symbol=row[2],
        side=Side(row[3]),
        type=OrderType(row[4]),
        purpose=Purpose(row[5]),
        price=Decimal(row[6]),
        stop_price=None if row[7] is None else Decimal(row[7]),
        quantity=Decimal(row[8]),
        filled=Decimal(row[9]),
        cost=Decimal(row[10]),
        fee=Decimal(row[11]),
        status=OrderStatus(row[12]),
        reason=row[13],
        created_at=row[14],
        ended_at=row[15],
    )
