"""Anchors: the newest event, stored outside the database, to detect truncation.

A hash chain detects every change except truncation: without its last rows it is still valid.
Therefore every minute and at a clean stop, the number and MAC of the head are appended to a file
and written to the log, which a log shipper copies off the host. Each line is signed with the audit
key.
"""

import asyncio
import contextlib
import hmac
import json
import os
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from trading_ops import clock, durable, logs
from trading_ops.errors import StoreError
from trading_ops.store import Connection, audit_chain
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer
from trading_ops.tasks import Succeeded, Tasks, unwatched

log = logs.get(__name__)

INTERVAL = timedelta(minutes=1)
TAIL_BYTES = 4096
"""Bytes read from the end: many times the length of a line."""

_LINE = re.compile(r"(\d{4}-[0-9T:.-]+Z) ([0-9]{1,18}) ([0-9a-f]{64}) ([0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchor:
    """The signed head of the chain at one time."""

    at: str
    """ISO 8601 in UTC, as signed."""

    seq: int
    mac: str
    signature: str

    @property
    def line(self) -> str:
        """Return the anchor's line in the file, without the newline."""
        return f"{self.at} {self.seq} {self.mac} {self.signature}"

    def is_signed_by(self, key: bytes) -> bool:
        """Return whether its signature is valid for the key."""
        return hmac.compare_digest(self.signature, _sign(key, self.at, self.seq, self.mac))


def make_anchor(key: bytes, head: audit_chain.Head, at: datetime) -> Anchor:
    """Return the signed anchor of a head."""
    text = at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
    signature = _sign(key, text, head.seq, head.mac)
    return Anchor(at=text, seq=head.seq, mac=head.mac, signature=signature)


def parse_anchor(line: str) -> Anchor | None:
    """Parse a line of the file or the log; None: not an anchor, or incomplete.

    A log line is a JSON object with `event` `audit_anchored` and the anchor's line in the field
    `anchor`. It is one field since log redaction would replace a field called `signature`.
    """
    if line.startswith("{"):
        return _from_log(line)
    return _from_match(_LINE.fullmatch(line))


def _from_match(match: re.Match[str] | None) -> Anchor | None:
    if match is None:
        return None
    at, seq, mac, signature = match.groups()
    return Anchor(at=at, seq=int(seq), mac=mac, signature=signature)


def _from_log(line: str) -> Anchor | None:
    try:
        record = json.loads(line)
        if record.get("event") != "audit_anchored":
            return None
        match = _LINE.fullmatch(record["anchor"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return _from_match(match)


def _sign(key: bytes, at: str, seq: int, mac: str) -> str:
    text = json.dumps(["anchor", at, seq, mac], separators=(",", ":"))
    return hmac.digest(key, text.encode(), "sha256").hex()


@dataclass(kw_only=True)
class Anchors:
    """Anchors the head of the chain: `run` periodically, `anchor_now` again at shutdown."""

    path: Path
    """The file, one per reconciler; its folder is created."""

    key: bytes
    reader: Reader
    interval: timedelta = INTERVAL
    on_anchor: Callable[[float], None] = lambda _timestamp: None
    """Called with the time at which the head was last anchored, in Unix seconds."""

    on_changed: Callable[[], None] = lambda: None
    """Called when the database contradicts the last anchor."""

    _last: audit_chain.Head | None = field(init=False, default=None)

    async def run(self, succeeded: Succeeded = unwatched) -> None:
        """Check that the last anchored event exists, then anchor until cancelled."""
        while True:
            await self._check_last()
            await self.anchor_now()
            succeeded()
            await asyncio.sleep(self.interval.total_seconds())

    @contextlib.asynccontextmanager
    async def running(self, tasks: Tasks) -> AsyncIterator[None]:
        """Anchor during the context, and once at its end, after the last write."""
        stalled_after = 3 * self.interval.total_seconds()
        try:
            async with tasks.running("anchors", self.run, stalled_after=stalled_after):
                yield
        finally:
            await self.anchor_now()

    async def anchor_now(self) -> Anchor | None:
        """Anchor the head unless it is anchored; a failure is logged and retried."""
        try:
            head = await self.reader.read(audit_chain.newest)
        except StoreError as error:
            log.warning("audit_anchor_failed", error=str(error))
            return None
        if not head.mac or head == self._last:
            self.on_anchor(clock.timestamp())
            return None
        anchor = make_anchor(self.key, head, clock.now())
        try:
            await asyncio.to_thread(append, self.path, anchor)
            self._last = head
            self.on_anchor(clock.timestamp())
        except OSError as error:
            log.error("audit_anchor_failed", path=str(self.path), error=str(error))  # noqa: TRY400
        # Log it anyway: a shipped line is an anchor too.
        log.info("audit_anchored", anchor=anchor.line)
        return anchor

    async def _check_last(self) -> None:
        """Report immediately if the database contradicts the last anchor."""
        try:
            anchor = await asyncio.to_thread(last_anchor, self.path)
            if anchor is None:
                return
            stored = await self.reader.read(partial(_mac_at, anchor=anchor, key=self.key))
        except (OSError, StoreError) as error:
            log.warning("audit_anchor_unreadable", path=str(self.path), error=str(error))
            return
        if stored != anchor.mac:
            self.on_changed()
            log.error(
                "audit_history_changed",
                at=anchor.at,
                seq=anchor.seq,
                found="another event" if stored else "no such event",
                fix="trading-ops audit verify",
            )


async def note_key(writer: Writer, keys: Sequence[bytes]) -> None:
    """At start: record a key change, and sign the start of a chain without checkpoint.

    Args:
        writer: uses the first of the keys.
        keys: the current key, then older ones.
    """
    try:
        note = await writer.run(partial(audit_chain.note_key, keys=keys, at=clock.now()))
        beginning = await writer.run(
            partial(audit_chain.note_beginning, key=keys[0], at=clock.now())
        )
    except StoreError as error:
        log.warning("audit_key_unchecked", error=str(error))
        return
    if note:
        log.warning("audit_key_changed", note=note)
    if beginning:
        log.warning("audit_start_signed", note=beginning)


def _mac_at(connection: Connection, *, anchor: Anchor, key: bytes) -> str | None:
    """Return the MAC of the anchored event; None if it does not exist."""
    rows = audit_chain.links(connection, after=anchor.seq - 1, limit=1)
    if rows and rows[0].seq == anchor.seq:
        return rows[0].mac
    for point in audit_chain.checkpoints(connection):
        is_removed = point.kind == audit_chain.CheckpointKind.REMOVED and point.seq >= anchor.seq
        if is_removed and point.is_signed_by(key):
            return anchor.mac
    return None


def append(path: Path, anchor: Anchor) -> None:
    """Append an anchor's line and fsync.

    Raises:
        OSError: it could not be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_new = not path.exists()
    # In append mode each write is atomic at the end, even with other writers.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        # A partial line of a crash must not corrupt this one.
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, f"{chr(10) if torn else ''}{anchor.line}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        durable.sync(path.parent)


def last_anchor(path: Path) -> Anchor | None:
    """Return the newest complete anchor of a file, or None.

    Raises:
        OSError: it could not be read.
    """
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        lines = file.read().decode("ascii", "replace").splitlines()
    found = [anchor for line in lines if (anchor := parse_anchor(line)) is not None]
    return found[-1] if found else None
