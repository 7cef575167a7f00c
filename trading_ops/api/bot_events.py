"""Events that bots report: trades, orders, signals, risk decisions."""

from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from trading_ops.api.event_stream import PAGE, StreamLine, StreamSource
from trading_ops.api.requests import Cursor, Key, Limit, Moment, place_of
from trading_ops.domain.bot_event import BotEventKind
from trading_ops.domain.message import Severity
from trading_ops.store import Connection, bot_events
from trading_ops.store.bot_events import StoredBotEvent
from trading_ops.store.reader import Reader
from trading_ops.store.search import PagePosition, TimeRange

FACTS = ("bot", "kind", "severity", "strategy", "symbol", "order", "correlation")


class BotEventFilters(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Filters of events."""

    bot: Key | None = None
    kind: BotEventKind | None = None
    severity: Severity | None = None
    strategy: Key | None = None
    symbol: Key | None = None
    order: Key | None = None
    correlation: Key | None = None
    since: Moment | None = None
    until: Moment | None = None

    @property
    def columns(self) -> dict[str, str | None]:
        """Return the wanted values by column."""
        return {
            "bot": self.bot,
            "kind": self.kind and self.kind.value,
            "severity": self.severity and self.severity.value,
            "strategy": self.strategy,
            "symbol": self.symbol,
            "order_id": self.order,
            "correlation": self.correlation,
        }

    @property
    def span(self) -> TimeRange:
        """Return the wanted time."""
        return TimeRange(since=self.since, until=self.until)


class BotEventQuery(BotEventFilters, forbid_unknown_fields=True, kw_only=True):
    """Filters and page of the list."""

    limit: Limit = 100
    cursor: Cursor | None = None


class BotEventView(msgspec.Struct, kw_only=True):
    """One event, as reported by the bot."""

    id: str
    seq: int
    """Grows in the order in which events were stored."""

    bot: str
    event: str
    """The bot's id of the event."""

    kind: BotEventKind
    severity: Severity
    at: datetime
    received_at: datetime
    strategy: str
    symbol: str
    order: str
    correlation: str
    summary: str
    data: dict[str, Any]


class BotEventPage(msgspec.Struct, kw_only=True):
    """Events, newest first."""

    events: list[BotEventView]
    next: str | None
    """Cursor of the next page; null: last page."""

    head: int
    """Number of the newest stored event: `after` of a stream that continues this list."""


class BotEventCount(msgspec.Struct, kw_only=True):
    """Number of events of one bot, kind and severity."""

    bot: str
    kind: BotEventKind
    severity: Severity
    count: int
    latest: datetime


class BotEventSummary(msgspec.Struct, kw_only=True):
    """The counts, by bot, kind and severity."""

    counts: list[BotEventCount]


class BotEventRoutes:
    """Handlers of `bot-events`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def search(self, query: BotEventQuery) -> BotEventPage:
        """Return events that bots reported, newest first."""
        after = place_of(query.cursor)

        def find(connection: Connection) -> tuple[list[StoredBotEvent], int]:
            found = bot_events.search(
                connection,
                filters=query.columns,
                span=query.span,
                after=after,
                limit=query.limit + 1,
            )
            return found, bot_events.head(connection)

        found, head = await self._reader.read(find)
        page = found[: query.limit]
        place = None
        if len(found) > query.limit:
            place = str(PagePosition(page[-1].event.at, page[-1].id))
        return BotEventPage(events=[_view(event) for event in page], next=place, head=head)

    async def summary(self, query: BotEventFilters) -> BotEventSummary:
        """Return the number of events by bot, kind and severity."""
        count = partial(bot_events.counts, filters=query.columns, span=query.span)
        found = await self._reader.read(count)
        names = BotEventCount.__struct_fields__
        counts = [BotEventCount(**{name: getattr(row, name) for name in names}) for row in found]
        return BotEventSummary(counts=counts)


def _lines(connection: Connection, seq: int) -> list[StreamLine]:
    views = [_view(event) for event in bot_events.since(connection, seq, limit=PAGE)]
    return [
        StreamLine(
            view.seq,
            msgspec.json.encode(view).decode(),
            {name: str(getattr(view, name)) for name in FACTS},
        )
        for view in views
    ]


def _view(stored: StoredBotEvent) -> BotEventView:
    event = stored.event
    return BotEventView(
        id=stored.id,
        seq=stored.seq,
        bot=event.bot,
        event=event.event,
        kind=event.kind,
        severity=event.severity,
        at=event.at,
        received_at=event.received_at,
        strategy=event.strategy,
        symbol=event.symbol,
        order=event.order_id,
        correlation=event.correlation,
        summary=event.summary,
        data=dict(event.data),
    )


BOT_EVENTS = StreamSource(bot_events.head, _lines)
"""The bots' events as a stream."""
