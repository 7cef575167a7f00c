"""Distributes new entries of a log to many listeners: each is read and encoded once.

While there are listeners, the number of the newest entry is polled several times a second; entries
are read only when it has grown. Each listener has a bounded queue. A listener whose queue overflows
leaves the queue and catches up from the database, at its own pace.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import msgspec

from trading_ops import logs
from trading_ops.errors import StoreError
from trading_ops.store import Connection, events
from trading_ops.store.reader import Reader

log = logs.get(__name__)

LOOK_SECONDS = 0.25
PAGE = 500
QUEUE = 2000
LISTENERS = 100


@dataclass(frozen=True)
class StreamLine:
    """One encoded entry."""

    seq: int
    text: str
    facts: Mapping[str, str] = field(default_factory=dict)
    """What a listener may filter by."""


@dataclass(frozen=True)
class StreamSource:
    """A log whose entries have growing numbers."""

    head: Callable[[Connection], int]
    """Returns the number of the newest entry."""

    since: Callable[[Connection, int], list[StreamLine]]
    """Returns a page of entries after a number, oldest first."""


@dataclass(eq=False)
class StreamListener:
    """One subscriber and its queue."""

    position: int
    """Number of the last entry that was queued, or sent before there was a queue."""

    queue: asyncio.Queue[StreamLine]
    behind: bool = field(init=False, default=False)
    """The queue was full: nothing is added, and it must catch up after sending its content."""

    def put(self, lines: Sequence[StreamLine]) -> None:
        """Queue new entries."""
        for line in lines:
            if self.behind or line.seq <= self.position:
                continue
            if self.queue.full():
                self.behind = True
                return
            self.queue.put_nowait(line)
            self.position = line.seq


def _events(connection: Connection, seq: int) -> list[StreamLine]:
    found = events.since(connection, seq, limit=PAGE)
    return [StreamLine(event.seq, msgspec.json.encode(event).decode()) for event in found]


EVENTS = StreamSource(events.head, _events)
"""The event log."""


class Feed:
    """Reads new entries for all listeners."""

    def __init__(
        self,
        reader: Reader,
        source: StreamSource | None = None,
        *,
        queue: int | None = None,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._reader = reader
        self._source = source or EVENTS
        self._queue = QUEUE if queue is None else queue
        self._look_seconds = look_seconds
        self._listeners: set[StreamListener] = set()
        self._seen = 0
        """Number of the last distributed entry; valid while there are listeners."""

        self._running: asyncio.Task[None] | None = None
        self.closing = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether the maximum of listeners is reached."""
        return len(self._listeners) >= LISTENERS

    async def head(self) -> int:
        """Return the number of the newest entry."""
        return await self._reader.read(self._source.head)

    async def page(self, after: int) -> list[StreamLine]:
        """Return a page of entries after a number, oldest first."""
        return await self._reader.read(lambda connection: self._source.since(connection, after))

    def is_current(self, position: int, head: int) -> bool:
        """Whether a listener that has all entries up to this number can join without a gap."""
        return position >= (self._seen if self._listeners else head)

    @contextmanager
    def listening(self, position: int) -> Iterator[StreamListener]:
        """Join: entries after the position go to the listener's queue."""
        if not self._listeners:
            self._seen = position
            self._running = asyncio.create_task(self._run(), name="feed")
        listener = StreamListener(position, asyncio.Queue(self._queue))
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._running is not None:
                self._running.cancel()

    async def close(self) -> None:
        """Disconnect all listeners."""
        self.closing.set()
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    async def _run(self) -> None:
        while True:
            try:
                while lines := await self._news():
                    self._seen = lines[-1].seq
                    for listener in tuple(self._listeners):
                        listener.put(lines)
            except StoreError as error:
                log.warning("feed_not_read", error=str(error))
            except Exception:  # one failed read must not end the feed
                log.exception("feed_failed")
            await asyncio.sleep(self._look_seconds)

    async def _news(self) -> list[StreamLine]:
        return await self._reader.read(self._since)

    def _since(self, connection: Connection) -> list[StreamLine]:
        if self._source.head(connection) <= self._seen:
            return []
        return self._source.since(connection, self._seen)
