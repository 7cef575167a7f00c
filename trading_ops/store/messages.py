"""The outbox: messages to operators, stored once per channel and delivered at least once.

A delivery is a batch: the messages in one mail. The batch's id is stored before it is sent and is
the mail's Message-ID, so a mail that is sent twice, as after a crash, is the same mail.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    case,
    delete,
    func,
    select,
    update,
)

from trading_ops.domain.message import MessageKind, MessageState, Severity, next_try
from trading_ops.errors import RequestRefused
from trading_ops.store import events
from trading_ops.store.engine import storable, upsert
from trading_ops.store.search import PagePosition, TimeRange
from trading_ops.store.tables import message_cursors, messages

LEASE = timedelta(seconds=120)
"""How long a reconciler owns a batch; longer than one delivery may take."""

HOUR = timedelta(hours=1)
SHOWN = 50
"""Messages that a mail lists; the others are only counted."""

OPEN = (MessageState.WAITING.value, MessageState.SENDING.value)
UNDELIVERED = (*OPEN, MessageState.DEAD.value)
URGENT = messages.c.severity.in_([severity.value for severity in Severity if severity.is_urgent])


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A rendered message for one channel."""

    key: str
    kind: MessageKind
    severity: Severity
    bot: str | None
    route: str
    channel: str
    subject: str
    text: str
    html: str | None
    digest: bool
    """Whether it may share a mail with others of its route and kind."""

    due_at: datetime


@dataclass(frozen=True, kw_only=True)
class StoredMessage:
    """One row of the outbox."""

    id: str
    key: str
    kind: MessageKind
    severity: Severity
    bot: str | None
    route: str
    channel: str
    subject: str
    text: str
    html: str | None
    digest: bool
    state: MessageState
    batch: str | None
    """The id of its mail, sent or pending."""

    attempts: int
    created_at: datetime
    due_at: datetime
    next_try_at: datetime
    sent_at: datetime | None
    error: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The content of one delivery."""

    id: str
    channel: str
    attempts: int
    due_at: datetime
    messages: tuple[StoredMessage, ...]
    """The oldest of them."""

    total: int


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """Undelivered messages."""

    waiting: int
    dead: int
    oldest_due: datetime | None
    """When the oldest overdue or dead message was first due."""


def id_of(key: str, channel: str) -> str:
    """Return the id of the message about a fact for a channel."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, storable(f"{channel}\n{key}")))


def cursor(connection: Connection, source: str) -> int | None:
    """Return how far a source was read; None: never."""
    statement = select(message_cursors.c.seq).where(message_cursors.c.source == source)
    return connection.execute(statement).scalar_one_or_none()


def store(
    connection: Connection,
    drafts: Sequence[Draft],
    *,
    now: datetime,
    source: str | None = None,
    read: tuple[int | None, int] | None = None,
) -> bool:
    """Store messages. If another reconciler has read the source, store none and return False.

    Args:
        connection: of the writer.
        drafts: the messages; one whose key its channel already has is skipped.
        now: when they are stored.
        source: where they come from; None: no source to advance.
        read: the source's previous position, and the new one.
    """
    if source is not None and read is not None and not _move(connection, source, *read):
        return False
    rows = [_row(draft, now) for draft in drafts]
    if rows:
        connection.execute(upsert(connection, messages).on_conflict_do_nothing(), rows)
    return True


def store_new(connection: Connection, drafts: Sequence[Draft], *, now: datetime) -> list[str]:
    """Store messages as `store`; return the channels that did not have theirs."""
    found: list[str] = []
    for draft in drafts:
        row = upsert(connection, messages).values(_row(draft, now)).on_conflict_do_nothing()
        found += connection.execute(row.returning(messages.c.channel)).scalars()
    return found


def _row(draft: Draft, now: datetime) -> dict[str, Any]:
    values = {name: getattr(draft, name) for name in Draft.__dataclass_fields__}
    return values | {
        "id": id_of(draft.key, draft.channel),
        "state": MessageState.WAITING.value,
        "created_at": now,
        "next_try_at": draft.due_at,
    }


def _move(connection: Connection, source: str, was: int | None, to: int) -> bool:
    if was is None:
        first = upsert(connection, message_cursors).values(source=source, seq=to)
        done = first.on_conflict_do_nothing().returning(message_cursors.c.seq)
        return connection.execute(done).one_or_none() is not None
    where = (message_cursors.c.source == source, message_cursors.c.seq == was)
    return bool(connection.execute(update(message_cursors).where(*where).values(seq=to)).rowcount)


def due_channels(connection: Connection, now: datetime) -> list[str]:
    """Return the channels with due messages."""
    where = (messages.c.state.in_(OPEN), messages.c.next_try_at <= now)
    rows = connection.execute(select(messages.c.channel).where(*where).distinct())
    return sorted(rows.scalars())


def claim(connection: Connection, channel: str, *, hourly: int, now: datetime) -> Batch | None:
    """Take the channel's urgent batch, or the one due longest; None: nothing is due.

    When the channel has reached its hourly limit, messages that are not urgent wait until the
    oldest delivery is an hour old, then go out in batches. Only urgent deliveries count against
    an urgent one, so trades cannot delay it, and a flood of urgent ones is bounded too.
    """
    where = (
        messages.c.channel == channel,
        messages.c.state.in_(OPEN),
        messages.c.next_try_at <= now,
    )
    order = (case((URGENT, 0), else_=1), messages.c.next_try_at, messages.c.id)
    first = select(messages).where(*where).order_by(*order).limit(1)
    row = connection.execute(first.with_for_update()).mappings().one_or_none()
    if row is None:
        return None
    same = URGENT if Severity(row["severity"]).is_urgent else ~URGENT
    if row["batch"] is None and (free_at := _free_at(connection, channel, hourly, now, same)):
        held = {"next_try_at": free_at, "due_at": free_at, "digest": True}
        unsent = (*where, same, messages.c.batch.is_(None))
        connection.execute(update(messages).where(*unsent).values(held))
        return claim(connection, channel, hourly=hourly, now=now)
    batch = row["batch"] or str(uuid.uuid4())
    mine: tuple[ColumnElement[bool], ...] = (messages.c.id == row["id"],)
    if row["batch"] is not None:
        mine = (messages.c.batch == batch,)
    elif row["digest"]:
        mine = (
            messages.c.channel == channel,
            messages.c.route == row["route"],
            messages.c.kind == row["kind"],
            messages.c.digest.is_(True),
            messages.c.state == MessageState.WAITING.value,
            messages.c.batch.is_(None),
        )
    taken = {
        "state": MessageState.SENDING.value,
        "batch": batch,
        "attempts": row["attempts"] + 1,
        "next_try_at": now + LEASE,
    }
    total = connection.execute(update(messages).where(*mine).values(taken)).rowcount
    found = select(messages).where(messages.c.batch == batch)
    found = found.order_by(messages.c.created_at, messages.c.id).limit(SHOWN)
    newest = tuple(_read(row) for row in connection.execute(found).mappings())
    return Batch(
        id=batch,
        channel=channel,
        attempts=row["attempts"] + 1,
        due_at=row["due_at"],
        messages=newest,
        total=total,
    )


def _free_at(
    connection: Connection,
    channel: str,
    hourly: int,
    now: datetime,
    counted: ColumnElement[bool],
) -> datetime | None:
    """Return when the channel may be used again; None: now."""
    sent = (
        select(func.max(messages.c.sent_at).label("at"))
        .where(messages.c.channel == channel, messages.c.sent_at > now - HOUR, counted)
        .group_by(messages.c.batch)
        .subquery()
    )
    latest = select(sent.c.at).order_by(sent.c.at.desc()).limit(hourly)
    times = list(connection.execute(latest).scalars())
    return times[-1] + HOUR if len(times) >= hourly else None


def sent(connection: Connection, batch: Batch, *, now: datetime) -> None:
    """Record that a batch was delivered."""
    values = {"state": MessageState.SENT.value, "sent_at": now, "error": ""}
    connection.execute(update(messages).where(messages.c.batch == batch.id).values(values))


def failed(connection: Connection, batch: Batch, *, error: str, now: datetime) -> bool:
    """Record that a delivery failed; return True if the batch is dead now."""
    again = next_try(attempts=batch.attempts, due_at=batch.due_at, now=now)
    mine = (messages.c.batch == batch.id, messages.c.state == MessageState.SENDING.value)
    if again is not None:
        values = {"state": MessageState.WAITING.value, "next_try_at": again, "error": error}
        connection.execute(update(messages).where(*mine).values(values))
        return False
    connection.execute(
        update(messages).where(*mine).values(state=MessageState.DEAD.value, error=error)
    )
    note = f"{batch.total} messages for {batch.channel}"
    events.add(connection, at=now, kind="messages_dead", note=note, after={"batch": batch.id})
    return True


def retry(connection: Connection, key: str, *, owner: str, now: datetime) -> StoredMessage:
    """Retry a message and the others of its mail at once; return it.

    Raises:
        RequestRefused: no such message, or it was delivered or discarded.
    """
    found = _undelivered(connection, key)
    values = {
        "state": MessageState.WAITING.value,
        "attempts": 0,
        "due_at": now,
        "next_try_at": now,
    }
    connection.execute(update(messages).where(_with(found)).values(values))
    events.add(connection, at=now, kind="message_retried", actor=owner, after={"id": found.id})
    return _one(connection, found.id)


def retry_dead(connection: Connection, *, owner: str, now: datetime) -> int:
    """Retry every dead message at once, each with its mail; return how many messages."""
    values = {
        "state": MessageState.WAITING.value,
        "attempts": 0,
        "due_at": now,
        "next_try_at": now,
    }
    dead = messages.c.state == MessageState.DEAD.value
    count = connection.execute(update(messages).where(dead).values(values)).rowcount
    if count:
        note = f"{count} dead messages"
        events.add(connection, at=now, kind="messages_retried", actor=owner, note=note)
    return count


def discard(connection: Connection, key: str, *, owner: str, now: datetime) -> StoredMessage:
    """Discard a message and the others of its mail; return it.

    Raises:
        RequestRefused: no such message, or it was delivered or discarded.
    """
    found = _undelivered(connection, key)
    values = {"state": MessageState.DISCARDED.value}
    connection.execute(update(messages).where(_with(found)).values(values))
    events.add(connection, at=now, kind="message_discarded", actor=owner, after={"id": found.id})
    return _one(connection, found.id)


def _undelivered(connection: Connection, key: str) -> StoredMessage:
    found = find(connection, key)
    if found is None:
        raise RequestRefused(f"no message matches {key}, or the prefix is ambiguous")
    if found.state.value not in UNDELIVERED:
        raise RequestRefused(f"message {found.id[:8]} is {found.state} already")
    return found


def _with(found: StoredMessage) -> ColumnElement[bool]:
    return messages.c.id == found.id if found.batch is None else messages.c.batch == found.batch


def find(connection: Connection, key: str) -> StoredMessage | None:
    """Return one message by its ID or a unique prefix of it."""
    where = messages.c.id.startswith(key, autoescape=True)
    rows = connection.execute(select(messages).where(where).limit(2)).mappings().all()
    return _read(rows[0]) if len(rows) == 1 else None


def search(
    connection: Connection,
    *,
    state: MessageState | None = None,
    kind: MessageKind | None = None,
    bot: str | None = None,
    span: TimeRange,
    after: PagePosition | None = None,
    limit: int = 100,
) -> list[StoredMessage]:
    """Return messages, newest first."""
    statement: Select[Any] = select(messages).where(*span.holds(messages.c.created_at))
    wanted = {"state": state, "kind": kind, "bot": bot}
    given = [messages.c[name] == value for name, value in wanted.items() if value is not None]
    if after is not None:
        at, key = messages.c.created_at, messages.c.id
        given.append((at < after.at) | ((at == after.at) & (key < after.id)))
    newest = (messages.c.created_at.desc(), messages.c.id.desc())
    rows = connection.execute(statement.where(*given).order_by(*newest).limit(limit))
    return [_read(row) for row in rows.mappings()]


def backlog(connection: Connection, *, now: datetime) -> Backlog:
    """Return the undelivered messages."""
    by_state = select(messages.c.state, func.count())
    by_state = by_state.where(messages.c.state.in_(UNDELIVERED)).group_by(messages.c.state)
    counts: dict[str, int] = {row[0]: row[1] for row in connection.execute(by_state)}
    oldest = select(func.min(messages.c.due_at)).where(
        messages.c.state.in_(UNDELIVERED), messages.c.due_at <= now
    )
    return Backlog(
        waiting=sum(counts.get(state, 0) for state in OPEN),
        dead=counts.get(MessageState.DEAD.value, 0),
        oldest_due=connection.execute(oldest).scalar_one(),
    )


def prune(connection: Connection, *, before: datetime, now: datetime, limit: int = 500) -> int:
    """Delete finished messages older than a moment, up to a limit; return how many."""
    old = (
        select(messages.c.id)
        .where(messages.c.state.not_in(UNDELIVERED), messages.c.created_at < before)
        .limit(limit)
    )
    gone = connection.execute(delete(messages).where(messages.c.id.in_(old))).rowcount
    if gone:
        note = f"{gone} messages from before {before.isoformat()}"
        events.add(connection, at=now, kind="pruned", note=note, after={"deleted": gone})
    return gone


def _one(connection: Connection, key: str) -> StoredMessage:
    return _read(connection.execute(select(messages).where(messages.c.id == key)).mappings().one())


def _read(row: RowMapping) -> StoredMessage:
    return StoredMessage(
        id=row["id"],
        key=row["key"],
        kind=MessageKind(row["kind"]),
        severity=Severity(row["severity"]),
        bot=row["bot"],
        route=row["route"],
        channel=row["channel"],
        subject=row["subject"],
        text=row["text"],
        html=row["html"],
        digest=row["digest"],
        state=MessageState(row["state"]),
        batch=row["batch"],
        attempts=row["attempts"],
        created_at=row["created_at"],
        due_at=row["due_at"],
        next_try_at=row["next_try_at"],
        sent_at=row["sent_at"],
        error=row["error"],
    )
