"""The outbox: creates messages, stores and delivers them, at least once.

A message is stored in the same transaction that advances its source, so none is lost or duplicated.
A delivery is claimed before it starts and recorded when it ends; if the reconciler dies in between,
the claim expires and the same mail, with the same id, is sent again.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from trading_ops import clock, logs
from trading_ops.domain.message import Message, MessageKind, Severity
from trading_ops.errors import ConfigError, RequestRefused, StoreError
from trading_ops.notify.announce import SOURCE, read_messages, window_messages
from trading_ops.notify.channels import Channel, load_channels
from trading_ops.notify.config import NotifyConfig, load_notify
from trading_ops.notify.courier import Courier
from trading_ops.notify.rendering import Line, Rendered, Renderer
from trading_ops.notify.routing import Delivery, deliveries
from trading_ops.reconciler.metrics import OutboxMetrics
from trading_ops.store import Connection, messages
from trading_ops.store.messages import Backlog, Batch, Draft
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer
from trading_ops.tasks import Succeeded, unwatched

log = logs.get(__name__)

EVERY_SECONDS = 2.0
WINDOWS_BACK = timedelta(hours=1)
"""A window that started or ended longer ago is not announced."""

Stamp = tuple[int, int] | None


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    """notify.yml and the channels, as last loaded."""

    config: NotifyConfig
    renderer: Renderer
    channels: dict[str, Channel]


@dataclass(frozen=True, kw_only=True)
class _OutboxRead:
    """Result of one read of the database."""

    was: int | None
    read: int
    drafts: tuple[Draft, ...]
    due: tuple[str, ...]
    backlog: Backlog


@dataclass(kw_only=True)
class Outbox:
    """Runs until cancelled; `enqueue` accepts messages from reports and tests."""

    config_path: Path
    urls_path: Path
    writer: Writer
    reader: Reader
    metrics: OutboxMetrics
    every_seconds: float = EVERY_SECONDS
    courier: Courier = field(default_factory=Courier)
    _loaded: _Loaded | None = field(init=False, default=None)
    _stamps: tuple[Stamp, Stamp] | None = field(init=False, default=None)
    _invalid_since: datetime | None = field(init=False, default=None)
    _announced: set[str] = field(init=False, default_factory=set)
    _delivering: dict[str, asyncio.Task[None]] = field(init=False, default_factory=dict)
    _wake: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    async def run(self, succeeded: Succeeded = unwatched) -> None:
        """Create, store and deliver messages every few seconds, until cancelled."""
        try:
            while True:
                try:
                    await self.run_once()
                except StoreError as error:
                    log.warning("outbox_failed", error=str(error))
                else:
                    succeeded()
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.every_seconds):
                        await self._wake.wait()
        finally:
            for task in self._delivering.values():
                task.cancel()
            await asyncio.gather(*self._delivering.values(), return_exceptions=True)
            await self.courier.close()

    async def run_once(self) -> None:
        """Create and store new messages, and start delivering due ones."""
        loaded = await self._load()
        if loaded is None:
            self._show(Backlog(waiting=0, dead=0, oldest_due=None))
            return
        found = await self.reader.read(partial(self._look, loaded=loaded, now=clock.now()))
        if found.drafts or found.was != found.read:
            work = partial(
                messages.store,
                drafts=found.drafts,
                now=clock.now(),
                source=SOURCE,
                read=(found.was, found.read),
            )
            if await self.writer.run(work):
                self._announced |= {draft.key for draft in found.drafts}
            if found.drafts:
                self._wake.set()
        for channel in found.due:
            if channel not in self._delivering:
                self._delivering[channel] = asyncio.create_task(self._drain(channel, loaded))
        self._show(found.backlog)

    async def enqueue(self, message: Message, *, channel: str | None = None) -> list[str]:
        """Store a message for its channels; return those that did not have it.

        Args:
            message: the message.
            channel: only this one, overriding the routes; None: use the routes.

        Raises:
            RequestRefused: messages are off, no route accepts this kind, or the channel is
                unknown.
            ConfigError: notify.yml or the URLs are invalid.
            StoreError: it could not be stored.
        """
        config = await asyncio.to_thread(load_notify, self.config_path)
        if config is None:
            raise RequestRefused(
                f"messages are off: write {self.config_path}, see docs/messages.md"
            )
        now = clock.now()
        chosen = deliveries(config, message, now)
        if channel is None and not any(route.accepts(message.kind) for route in config.routes):
            raise RequestRefused(
                f"no route of {self.config_path} has the kind `{message.kind.value}`: add it to "
                "`kinds`, see docs/messages.md"
            )
        if channel is not None:
            if channel not in config.channels:
                raise RequestRefused(
                    f"unknown channel {channel}: use one of {', '.join(config.channels)}"
                )
            chosen = [Delivery(route="", channel=channel, due_at=now, digest=False)]
        renderer = renderer_of(config, self.config_path)
        drafts = await asyncio.to_thread(_drafts, renderer, message, chosen)
        stored = await self.writer.run(partial(messages.store_new, drafts=drafts, now=now))
        self._wake.set()
        return stored

    async def drafts_of(self, found: list[Message]) -> list[Draft]:
        """Return messages for their channels, to be stored with their source."""
        loaded = await self._load() if found else None
        if loaded is None:
            return []
        return await asyncio.to_thread(_all_drafts, loaded, found, clock.now())

    def wake(self) -> None:
        """Run immediately: a message was retried or stored."""
        self._wake.set()

    async def _load(self) -> _Loaded | None:
        """Return notify.yml and the channels, reloaded when a file changed.

        While a file is invalid, the last valid version is used.
        """
        stamps = (_stamp(self.config_path), _stamp(self.urls_path))
        if stamps == self._stamps:
            return self._loaded
        self._stamps = stamps
        try:
            config = await asyncio.to_thread(load_notify, self.config_path)
            channels = await asyncio.to_thread(load_channels, self.urls_path)
        except ConfigError as error:
            self._invalid_since = self._invalid_since or clock.now()
            log.error("notify_invalid", error=str(error))  # noqa: TRY400 - a user's error
            return self._loaded
        self._invalid_since = None
        self._loaded = None
        if config is not None:
            renderer = renderer_of(config, self.config_path)
            self._loaded = _Loaded(config=config, renderer=renderer, channels=channels)
        return self._loaded

    def _look(self, connection: Connection, *, loaded: _Loaded, now: datetime) -> _OutboxRead:
        """Read new sources and due messages; in a reader thread."""
        was = messages.cursor(connection, SOURCE)
        read, found = read_messages(connection, was, now=now)
        windows = window_messages(connection, since=now - WINDOWS_BACK, now=now)
        if was is None:
            self._announced |= {window.key for window in windows}
        found += [window for window in windows if window.key not in self._announced]
        drafts = _all_drafts(loaded, found, now)
        return _OutboxRead(
            was=was,
            read=read,
            drafts=tuple(drafts),
            due=tuple(messages.due_channels(connection, now)),
            backlog=messages.backlog(connection, now=now),
        )

    async def _drain(self, channel: str, loaded: _Loaded) -> None:
        """Deliver all due messages of a channel in order."""
        try:
            while await self._deliver_one(channel, loaded):
                pass
        except StoreError as error:
            log.warning("outbox_failed", channel=channel, error=str(error))
        finally:
            del self._delivering[channel]

    async def _deliver_one(self, channel: str, loaded: _Loaded) -> bool:
        """Deliver one batch; return False if nothing was due or the delivery failed."""
        hourly = loaded.config.hourly_limit
        claim = partial(messages.claim, channel=channel, hourly=hourly, now=clock.now())
        batch = await self.writer.run(claim)
        if batch is None:
            return False
        target = loaded.channels.get(channel)
        if target is None:
            error = f"{self.urls_path.name} has no URL for {channel}"
        else:
            rendered = await asyncio.to_thread(_mail, loaded.renderer, batch)
            error = await self.courier.deliver(target, rendered, message_id=batch.id)
        if not error:
            await self.writer.run(partial(messages.sent, batch=batch, now=clock.now()))
            self.metrics.deliveries.labels("sent").inc()
            log.info("message_sent", channel=channel, batch=batch.id, messages=batch.total)
            return True
        failed = partial(messages.failed, batch=batch, error=error, now=clock.now())
        dead = await self.writer.run(failed)
        self.metrics.deliveries.labels("dead" if dead else "failed").inc()
        log.warning("message_failed", channel=channel, batch=batch.id, dead=dead, error=error)
        return False

    def _show(self, backlog: Backlog) -> None:
        self.metrics.unsent.labels("waiting").set(backlog.waiting)
        self.metrics.unsent.labels("dead").set(backlog.dead)
        since = [at for at in (backlog.oldest_due, self._invalid_since) if at is not None]
        self.metrics.oldest_undelivered.set(min(since).timestamp() if since else 0)


def make_test_message(*, owner: str, key: str, now: datetime) -> Message:
    """Return the message of `trading-ops notify test`."""
    return Message(
        key=f"test:{key}",
        kind=MessageKind.TEST,
        severity=Severity.INFO,
        bot=None,
        at=now,
        subject=f"Test message from {owner}",
        facts={"Requested by": owner},
    )


def renderer_of(config: NotifyConfig, path: Path) -> Renderer:
    """Return the renderer of a notify.yml."""
    folder = path.parent / config.templates if config.templates else None
    return Renderer(zone=config.zone, link=config.link, folder=folder)


def _all_drafts(loaded: _Loaded, found: list[Message], now: datetime) -> list[Draft]:
    return [
        draft
        for message in found
        for draft in _drafts(loaded.renderer, message, deliveries(loaded.config, message, now))
    ]


def _drafts(renderer: Renderer, message: Message, chosen: list[Delivery]) -> list[Draft]:
    if not chosen:
        return []
    rendered = renderer.message(message)
    return [
        Draft(
            key=message.key,
            kind=message.kind,
            severity=message.severity,
            bot=message.bot,
            route=delivery.route,
            channel=delivery.channel,
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            digest=delivery.digest,
            due_at=delivery.due_at,
        )
        for delivery in chosen
    ]


def _mail(renderer: Renderer, batch: Batch) -> Rendered:
    first = batch.messages[0]
    if batch.total == 1:
        return Rendered(first.subject, first.text, first.html or "")
    lines = [
        Line(at=message.created_at, subject=message.subject, text=message.text)
        for message in batch.messages
    ]
    return renderer.digest(lines, kind=first.kind.value, total=batch.total)


def _stamp(path: Path) -> Stamp:
    """Return a marker that changes with the file; None if it does not exist."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
