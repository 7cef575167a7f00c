"""The outbox: list messages, retry or discard them, and send a test message."""

import uuid
from datetime import datetime
from functools import partial

import msgspec

from trading_ops import clock
from trading_ops.api.auth import Identity
from trading_ops.api.requests import Cursor, Key, Limit, Moment, Person, not_found, place_of
from trading_ops.domain.message import MessageKind, MessageState, Severity
from trading_ops.notify.outbox import Outbox, make_test_message
from trading_ops.store import messages
from trading_ops.store.messages import StoredMessage
from trading_ops.store.reader import Reader
from trading_ops.store.search import PagePosition, TimeRange
from trading_ops.store.writer import Writer

UNKNOWN = "no message matches this ID, or the prefix is ambiguous"


class MessageQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Filters and page of the list."""

    state: MessageState | None = None
    kind: MessageKind | None = None
    bot: Key | None = None
    since: Moment | None = None
    until: Moment | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class SendTestRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The channel; null: the channels of the routes."""

    channel: Key | None = None
    owner: Person | None = None


class MessageRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Operator who retries or discards it."""

    owner: Person | None = None


class RetriedMessages(msgspec.Struct, kw_only=True):
    """How many messages will be delivered again."""

    count: int


class MessageView(msgspec.Struct, kw_only=True):
    """One message for one channel, without its text."""

    id: str
    kind: MessageKind
    severity: Severity
    bot: str | None
    route: str
    channel: str
    subject: str
    state: MessageState
    batch: str | None
    """Id of the mail that contained it; several messages may share one."""

    attempts: int
    created_at: datetime
    due_at: datetime
    next_try_at: datetime
    sent_at: datetime | None
    error: str


class MessageText(msgspec.Struct, kw_only=True):
    """One message with its text."""

    message: MessageView
    text: str
    html: str | None


class MessagePage(msgspec.Struct, kw_only=True):
    """Messages, newest first."""

    messages: list[MessageView]
    next: str | None
    """Cursor of the next page; null: last page."""


class Tested(msgspec.Struct, kw_only=True):
    """The message ids of the test message by channel."""

    channels: list[str]
    ids: list[str]


class MessageRoutes:
    """Handlers of `messages`."""

    def __init__(self, writer: Writer, reader: Reader, outbox: Outbox) -> None:
        self._writer = writer
        self._reader = reader
        self._outbox = outbox

    async def search(self, query: MessageQuery) -> MessagePage:
        """Return messages, newest first."""
        find = partial(
            messages.search,
            state=query.state,
            kind=query.kind,
            bot=query.bot,
            span=TimeRange(since=query.since, until=query.until),
            after=place_of(query.cursor),
            limit=query.limit + 1,
        )
        found = await self._reader.read(find)
        page = found[: query.limit]
        more = len(found) > query.limit
        place = str(PagePosition(page[-1].created_at, page[-1].id)) if more else None
        return MessagePage(messages=[_view(message) for message in page], next=place)

    async def show(self, id: str) -> MessageText:  # noqa: A002 - name of the path parameter
        """Return one message with its text."""
        found = await self._reader.read(partial(messages.find, key=id))
        if found is None:
            not_found(UNKNOWN)
        return MessageText(message=_view(found), text=found.text, html=found.html)

    async def test(self, identity: Identity, body: SendTestRequest) -> Tested:
        """Queue a test message for one channel, or for the channels of its routes."""
        owner, key = identity.actor(body.owner), str(uuid.uuid4())
        message = make_test_message(owner=owner, key=key, now=clock.now())
        channels = await self._outbox.enqueue(message, channel=body.channel)
        ids = [messages.id_of(message.key, channel) for channel in channels]
        return Tested(channels=channels, ids=ids)

    async def retry(self, identity: Identity, id: str, body: MessageRequest) -> MessageView:  # noqa: A002
        """Retry a waiting or dead message, with the others of its mail."""
        owner = identity.actor(body.owner)
        change = partial(messages.retry, key=id, owner=owner, now=clock.now())
        found = await self._writer.run(change)
        self._outbox.wake()
        return _view(found)

    async def retry_dead(self, identity: Identity, body: MessageRequest) -> RetriedMessages:
        """Retry every dead message."""
        owner = identity.actor(body.owner)
        change = partial(messages.retry_dead, owner=owner, now=clock.now())
        count = await self._writer.run(change)
        self._outbox.wake()
        return RetriedMessages(count=count)

    async def discard(self, identity: Identity, id: str, body: MessageRequest) -> MessageView:  # noqa: A002
        """Discard a waiting or dead message, with the others of its mail."""
        owner = identity.actor(body.owner)
        change = partial(messages.discard, key=id, owner=owner, now=clock.now())
        return _view(await self._writer.run(change))


def _view(message: StoredMessage) -> MessageView:
    return MessageView(**{name: getattr(message, name) for name in MessageView.__struct_fields__})
