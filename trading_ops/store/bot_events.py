"""Events of the bots: stored once, no matter how often they are read from the bot."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, RowMapping, delete, func, select, update

from trading_ops.domain.bot_event import BotEvent, BotEventKind
from trading_ops.domain.message import Severity
from trading_ops.store import messages
from trading_ops.store.engine import storable, upsert
from trading_ops.store.messages import Draft
from trading_ops.store.search import PagePosition, TimeRange
from trading_ops.store.tables import bot_event_cursors, bot_event_head, bot_events


@dataclass(frozen=True, kw_only=True)
class JournalPosition:
    """How far a bot's journal was read."""

    journal: str
    number: int


@dataclass(frozen=True, kw_only=True)
class StoredBotEvent:
    """One row."""

    id: str
    seq: int
    """Increases in the order in which events were stored."""

    event: BotEvent


@dataclass(frozen=True, kw_only=True)
class BotKindCount:
    """Number of events of one kind of a bot."""

    bot: str
    kind: BotEventKind
    severity: Severity
    count: int
    latest: datetime


def positions(connection: Connection) -> dict[str, JournalPosition]:
    """Return how far each bot's journal was read."""
    rows = connection.execute(select(bot_event_cursors)).mappings()
    return {
        row["bot"]: JournalPosition(journal=row["journal"], number=row["number"]) for row in rows
    }


def store(
    connection: Connection,
    bot: str,
    found: Sequence[BotEvent],
    position: JournalPosition,
    drafts: Sequence[Draft],
    *,
    now: datetime,
) -> None:
    """Store events, the messages about them, and how far the journal was read.

    All in the caller's transaction. An existing event or message is left unchanged, so a second
    reconciler or a repeated read changes nothing.
    """
    if found:
        # The lock on the head ensures that numbers increase in commit order.
        taken = update(bot_event_head).values(seq=bot_event_head.c.seq + len(found))
        connection.execute(taken)
        first = head(connection) - len(found) + 1
        rows = [
            asdict(stored) | {"id": id_of(stored.bot, stored.event), "seq": first + at}
            for at, stored in enumerate(found)
        ]
        connection.execute(upsert(connection, bot_events).on_conflict_do_nothing(), rows)
    messages.store(connection, drafts, now=now)
    moved = {"journal": position.journal, "number": position.number}
    cursor = upsert(connection, bot_event_cursors).values(bot=bot, **moved)
    connection.execute(cursor.on_conflict_do_update(index_elements=["bot"], set_=moved))


def head(connection: Connection) -> int:
    """Return the last number; it increases with each stored event."""
    return int(connection.execute(select(bot_event_head.c.seq)).scalar_one())


def since(connection: Connection, seq: int, *, limit: int) -> list[StoredBotEvent]:
    """Return the events after a number, in storage order."""
    statement = select(bot_events).where(bot_events.c.seq > seq)
    statement = statement.order_by(bot_events.c.seq).limit(limit)
    return [_from_row(row) for row in connection.execute(statement).mappings()]


def id_of(bot: str, event: str) -> str:
    """Return the id of a bot's event in our database."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, storable(f"{bot}\n{event}")))


def search(
    connection: Connection,
    *,
    filters: Mapping[str, str | None],
    span: TimeRange,
    after: PagePosition | None = None,
    limit: int = 100,
) -> list[StoredBotEvent]:
    """Return events, newest first.

    Args:
        connection: to read from.
        filters: by column: bot, kind, severity, strategy, symbol, order_id, correlation.
        span: of the events' own time.
        after: where the previous page ended.
        limit: maximum number of events.
    """
    at, key = bot_events.c.at, bot_events.c.id
    given = _equal(filters)
    if after is not None:
        given.append((at < after.at) | ((at == after.at) & (key < after.id)))
    statement = select(bot_events).where(*span.holds(at), *given)
    statement = statement.order_by(at.desc(), key.desc()).limit(limit)
    return [_from_row(row) for row in connection.execute(statement).mappings()]


def counts(
    connection: Connection, *, filters: Mapping[str, str | None], span: TimeRange
) -> list[BotKindCount]:
    """Return how many events there were, by bot, kind and severity; filters as in `search`."""
    by = (bot_events.c.bot, bot_events.c.kind, bot_events.c.severity)
    given = _equal(filters)
    statement = select(*by, func.count(), func.max(bot_events.c.at))
    statement = statement.where(*span.holds(bot_events.c.at), *given).group_by(*by).order_by(*by)
    return [
        BotKindCount(
            bot=bot,
            kind=BotEventKind(kind),
            severity=Severity(severity),
            count=count,
            latest=latest,
        )
        for bot, kind, severity, count, latest in connection.execute(statement)
    ]


def _equal(filters: Mapping[str, str | None]) -> list[ColumnElement[bool]]:
    return [bot_events.c[name] == value for name, value in filters.items() if value is not None]


def prune(connection: Connection, *, before: datetime, now: datetime, limit: int = 500) -> int:
    """Delete events older than a moment, up to a limit; return how many."""
    del now
    old = select(bot_events.c.id).where(bot_events.c.at < before).limit(limit)
    return connection.execute(delete(bot_events).where(bot_events.c.id.in_(old))).rowcount


def excess(connection: Connection, *, rows: int) -> dict[str, int]:
    """Return the number of events above the limit, by bot."""
    bot, stored = bot_events.c.bot, func.count()
    statement = select(bot, stored).group_by(bot).having(stored > rows)
    return {name: count - rows for name, count in connection.execute(statement)}


def prune_oldest(connection: Connection, *, bot: str, limit: int) -> int:
    """Delete up to `count` of the oldest events of a bot; return how many were deleted."""
    own = select(bot_events.c.id).where(bot_events.c.bot == bot)
    oldest = own.order_by(bot_events.c.at).limit(limit)
    return connection.execute(delete(bot_events).where(bot_events.c.id.in_(oldest))).rowcount


def _from_row(row: RowMapping) -> StoredBotEvent:
    """Return the event of a row of the table."""
    return StoredBotEvent(
        id=row["id"],
        seq=row["seq"],
        event=BotEvent(
            bot=row["bot"],
            event=row["event"],
            kind=BotEventKind(row["kind"]),
            severity=Severity(row["severity"]),
            at=row["at"],
            received_at=row["received_at"],
            strategy=row["strategy"],
            symbol=row["symbol"],
            order_id=row["order_id"],
            correlation=row["correlation"],
            summary=row["summary"],
            data=row["data"],
        ),
    )
