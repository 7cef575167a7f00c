"""Collects the events that bots record, and stores each once with its messages.

The health response that is polled every second contains the position of the bot's journal, so bots
without new events cost nothing. A Freqtrade has no journal: its trades are read every 10 s. Fields
from the bot are untrusted: they are bounded here, and times in the future are corrected.

The budget of a bot is a burst as long as the journal of an agent, so that a bot that was not read
for a while loses nothing, and then a number each minute. Events beyond it are dropped and counted.
"""

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from prometheus_client import Counter as CounterMetric

from trading_ops import clock, logs
from trading_ops.clients import agent as wire
from trading_ops.clients.directory import Directory
from trading_ops.domain.bot_event import BotEvent, BotEventKind, message_of
from trading_ops.domain.message import Severity
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import ClientError, StoreError
from trading_ops.notify.outbox import Outbox
from trading_ops.store import bot_events
from trading_ops.store.bot_events import JournalPosition
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer
from trading_ops.tasks import Succeeded, unwatched

log = logs.get(__name__)

EVERY_SECONDS = 1.0
PAGES = 10
"""Maximum per bot and pass, so that a bot with a long journal does not delay the others."""

PAGE = 200
AT_ONCE = 8
"""Bots read concurrently."""

FRESH = timedelta(hours=24)
"""Maximum age of events with messages."""

POLLED_EVERY_SECONDS = 10.0
"""Interval for bots that do not report whether they have new events."""

RECENT = 1_000
"""Number of such a bot's events that are recognized without the database."""

KINDS = frozenset({Kind.BOT, Kind.FREQTRADE})

TEXT_LIMIT, NAME_LIMIT, DATA_LIMIT = 300, 100, 4_000

Heads = Callable[[], Mapping[str, wire.EventsHead]]
"""Journal position of each bot that answers."""


BURST = 100_000
"""Maximum events in an agent's journal."""


@dataclass(kw_only=True)
class EventBudget:
    """Rate limit for the events of one bot; full at the start."""

    per_minute: float
    burst: int = BURST
    now: Callable[[], float] = clock.boottime
    _left: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        """Start full."""
        self._left, self._at = float(self.burst), self.now()

    def left(self) -> int:
        """Return how many events may be stored now."""
        now = self.now()
        refilled = self._left + (now - self._at) * self.per_minute / 60
        self._left, self._at = min(refilled, float(self.burst)), now
        return int(self._left)

    def spend(self, count: int) -> None:
        """Count stored events, at most as many as are left."""
        self._left -= count


@dataclass(kw_only=True)
class BotEvents:
    """Collects events until cancelled."""

    registry: Registry
    directory: Directory
    heads: Heads
    outbox: Outbox
    writer: Writer
    reader: Reader
    dropped: CounterMetric
    """Counter of events beyond their bot's budget."""

    per_minute: float
    every_seconds: float = EVERY_SECONDS
    polled_every_seconds: float = POLLED_EVERY_SECONDS
    now: Callable[[], datetime] = clock.now
    _positions: dict[str, JournalPosition] | None = field(init=False, default=None)
    _lost: Counter[str] = field(init=False, default_factory=Counter)
    _budgets: dict[str, EventBudget] = field(init=False, default_factory=dict)
    _polled_at: dict[str, float] = field(init=False, default_factory=dict)
    _recent: dict[str, deque[str]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Initialize the counter of dropped events for each bot."""
        for target in self.registry.targets:
            if target.kind in KINDS:
                self.dropped.labels(target.name)

    async def run(self, succeeded: Succeeded = unwatched) -> None:
        """Read new events every second."""
        while True:
            try:
                await self.run_once()
            except StoreError as error:
                log.warning("bot_events_not_stored", error=str(error))
            else:
                succeeded()
            await asyncio.sleep(self.every_seconds)

    async def run_once(self) -> None:
        """Read the new events of every bot.

        Raises:
            StoreError: the database did not answer; the events are read again later.
        """
        if self._positions is None:
            self._positions = await self.reader.read(bot_events.positions)
        places = asyncio.Semaphore(AT_ONCE)
        failed: list[StoreError] = []
        async with asyncio.TaskGroup() as group:
            for name, head in self.heads().items():
                target = self.registry.find(name)
                if target is None or target.kind not in KINDS or not head.journal:
                    continue
                self._note_lost(name, head.lost)
                if self._has_new_events(name, head):
                    group.create_task(self._follow(target, places, failed))
        if failed:
            raise failed[0]

    def _has_new_events(self, bot: str, head: wire.EventsHead) -> bool:
        if head.head is not None:
            return self._position(bot, head.journal) < head.head
        now = clock.monotonic()
        if now - self._polled_at.get(bot, -math.inf) < self.polled_every_seconds:
            return False
        self._polled_at[bot] = now
        return True

    def _position(self, bot: str, journal: str) -> int:
        known = (self._positions or {}).get(bot)
        return known.number if known is not None and known.journal == journal else 0

    def _note_lost(self, bot: str, lost: int) -> None:
        if lost > self._lost[bot]:
            log.error("bot_events_lost", bot=bot, lost=lost)
        self._lost[bot] = lost

    async def _follow(
        self, target: Target, places: asyncio.Semaphore, failed: list[StoreError]
    ) -> None:
        async with places:
            try:
                await self._read(target)
            except ClientError as error:
                log.warning("bot_events_not_read", bot=target.name, error=str(error))
            except StoreError as error:
                failed.append(error)

    async def _read(self, target: Target) -> None:
        bot = self.directory.bot(target)
        journal, after = "", 0
        known = (self._positions or {}).get(target.name)
        if known is not None:
            journal, after = known.journal, known.number
        for _ in range(PAGES):
            page = await bot.events(after)
            if page.journal != journal:
                # Another journal file: its numbers are unrelated.
                journal, must_restart, after = page.journal, after > 0, 0
                if must_restart:
                    continue
            if target.kind is Kind.FREQTRADE:
                page = self._without_recent(target.name, page)
            if not page.events:
                return
            after = await self._store(target.name, page)
            if target.kind is Kind.FREQTRADE:
                return  # the rest at the next interval: its requests are few

    def _without_recent(self, bot: str, page: wire.EventsPage) -> wire.EventsPage:
        recent = self._recent.setdefault(bot, deque(maxlen=RECENT))
        new = [event for event in page.events if event.id not in recent]
        return wire.EventsPage(journal=page.journal, events=new)

    async def _store(self, bot: str, page: wire.EventsPage) -> int:
        now = self.now()
        read = page.events[:PAGE]
        events = list({event.id: _checked(event, bot, now) for event in read}.values())
        budget = self._budget(bot)
        found = events[: budget.left()]
        sent = [message_of(event) for event in found if now - event.at <= FRESH]
        drafts = await self.outbox.drafts_of([message for message in sent if message is not None])
        journal = page.journal[:NAME_LIMIT]
        newest = max(self._position(bot, journal), *(event.number for event in read))
        position = JournalPosition(journal=journal, number=min(newest, 2**63 - 1))
        store = partial(
            bot_events.store, bot=bot, found=found, position=position, drafts=drafts, now=now
        )
        await self.writer.run(store)
        for event in found:
            _log_stored(event)
        budget.spend(len(found))
        if bot in self._recent:
            self._recent[bot] += [event.id for event in read]
        self.dropped.labels(bot).inc(len(events) - len(found))
        if drafts:
            self.outbox.wake()
        if self._positions is not None:
            self._positions[bot] = position
        return position.number

    def _budget(self, bot: str) -> EventBudget:
        if bot not in self._budgets:
            self._budgets[bot] = EventBudget(per_minute=self.per_minute)
        return self._budgets[bot]


def _log_stored(event: BotEvent) -> None:
    """Log what is not routine, with the ids that the bot's log lines have."""
    if event.severity is not Severity.INFO:
        log.info(
            "bot_event_stored",
            bot=event.bot,
            id=event.event,
            kind=event.kind.value,
            severity=event.severity.value,
            symbol=event.symbol,
            order=event.order_id,
            strategy=event.strategy,
            correlation=event.correlation,
        )


def _checked(event: wire.ReportedEvent, bot: str, now: datetime) -> BotEvent:
    """Return an event with all fields bounded."""
    return BotEvent(
        bot=bot,
        event=event.id[:NAME_LIMIT],
        kind=_member(BotEventKind, event.kind, BotEventKind.SYSTEM),
        severity=_member(Severity, event.severity, Severity.INFO),
        at=_moment(event.at, now),
        received_at=now,
        strategy=event.strategy[:NAME_LIMIT],
        symbol=event.symbol[:NAME_LIMIT],
        order_id=event.order[:NAME_LIMIT],
        correlation=event.correlation[:NAME_LIMIT],
        summary=event.summary[:TEXT_LIMIT],
        data=_data(event.data),
    )


def _member(values: Any, text: str, otherwise: Any) -> Any:
    return values(text) if text in set(values) else otherwise


def _moment(at: float, now: datetime) -> datetime:
    try:
        moment = datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        return now
    return min(moment, now)


def _data(data: dict[str, Any]) -> dict[str, Any]:
    size = len(msgspec.json.encode(data))
    return data if size <= 2 * DATA_LIMIT else {"left_out": f"{size} bytes"}
