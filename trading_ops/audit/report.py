"""Verifies every event against its key, its predecessor and its anchors.

Read-only and in batches: it can run while the reconciler writes, or on a copy.
"""

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trading_ops import clock
from trading_ops.audit.checkpoint import Anchor, parse_anchor
from trading_ops.audit.diagnosis import WINDOW, diagnose
from trading_ops.audit.walk import ChainViolation, Tampering, Walk
from trading_ops.errors import StoreError
from trading_ops.store import Connection, archive, audit_chain
from trading_ops.store.archive import Archive, EventFile
from trading_ops.store.audit_chain import Checkpoint, CheckpointKind, Head, Link
from trading_ops.store.reader import Reader

BATCH = 5000

_HALF_A_LINE = re.compile(r"[0-9T:.Z-]{0,28}( [0-9]{0,18}( [0-9a-f]{0,64}( [0-9a-f]{0,64})?)?)?")


@dataclass(frozen=True, kw_only=True)
class KeySection:
    """The first event of a key."""

    seq: int
    key: str
    """Short name of the key."""


@dataclass(frozen=True, kw_only=True)
class ChainVerdict:
    """Result of a verification."""

    verified: int
    """Number of valid chained events, from the first one."""

    first: int | None
    last: int
    unchained: int
    """Number of events from before the chain, which cannot be verified."""

    anchors: int
    last_anchor: Anchor | None
    unanchored: int
    """Number of events after the last anchor, whose removal would not be detected."""

    torn_anchors: int
    """Number of incomplete lines left by a crash."""

    without_anchors: tuple[Path, ...]
    """Anchor files without a genuine anchor."""

    is_begun: bool
    """Whether a signed checkpoint states where the chain starts."""

    removed: int
    """Number of the last event that retention removed, as signed; 0: none."""

    keys: tuple[KeySection, ...]
    archived: int
    """Events in the archives, of those before the first one in the database."""

    archived_from: int | None
    """The first of them."""

    problem: ChainViolation | None
    """None: no tampering was detected."""

    took_seconds: float


def unproven(verdict: ChainVerdict, *, before_chain: int = 0) -> list[str]:
    """Return the limits of the verification, one sentence each.

    Args:
        verdict: of a verification.
        before_chain: number of events known to be older than the chain.
    """
    found = []
    if verdict.unchained != before_chain:
        found.append(
            f"{verdict.unchained} events have no MAC, expected {before_chain}: either they are "
            "older than the chain, or their MACs were removed. If they are older, pass "
            f"--before-chain {verdict.unchained}"
        )
    if verdict.verified and not verdict.is_begun:
        found.append(
            "no signed checkpoint states where the chain starts: this version of the reconciler "
            "has not been started with this database yet, or the checkpoint was deleted"
        )
    if verdict.last:
        found += [
            f"{path} has no anchor that is signed with the key: a removed end would not show"
            for path in verdict.without_anchors
        ]
    return found


@dataclass(frozen=True, kw_only=True)
class AnchorBook:
    """The anchors of some files."""

    genuine: tuple[Anchor, ...] = ()
    """In ascending order."""

    torn: int = 0
    forged: ChainViolation | None = None
    without: tuple[Path, ...] = ()
    """Files without a genuine anchor, or that do not exist."""


def read_anchors(paths: Sequence[Path], keys: Sequence[bytes]) -> AnchorBook:
    """Read anchors from anchor files or logs; a missing file has none.

    Raises:
        OSError: a file could not be read.
    """
    genuine: set[Anchor] = set()
    torn, forged, without = 0, None, []
    for path in paths:
        found = 0
        for number, line in _lines(path):
            anchor = parse_anchor(line)
            if anchor is not None and any(anchor.is_signed_by(key) for key in keys):
                genuine.add(anchor)
                found += 1
            elif anchor is not None or not _may_be_half(line):
                forged = forged or ChainViolation(
                    fault=Tampering.ANCHOR_FORGED,
                    seq=anchor.seq if anchor else 0,
                    detail=f"line {number} of {path} is not signed with the key: {line[:60]!r}",
                )
            else:
                torn += not line.startswith("{")
        if not found:
            without.append(path)
    ordered = sorted(genuine, key=lambda anchor: (anchor.seq, anchor.at))
    return AnchorBook(genuine=tuple(ordered), torn=torn, forged=forged, without=tuple(without))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line.rstrip("\n")


def _may_be_half(line: str) -> bool:
    """Return whether a line may be incomplete after a crash, or is another log line."""
    return line.startswith("{") or _HALF_A_LINE.fullmatch(line) is not None


async def verify(
    reader: Reader,
    keys: Sequence[bytes],
    anchors: AnchorBook,
    *,
    archives: Sequence[Path] = (),
    batch_size: int = BATCH,
) -> ChainVerdict:
    """Check all events, those in the archives too.

    Args:
        reader: of the database.
        keys: the current key, then older ones.
        anchors: read before the call: an anchor newer than the data would look like a truncation.
        archives: folders of archives; together they hold every event that was removed since the
            first event in them.
        batch_size: maximum number of events in memory.

    Raises:
        StoreError: the database could not be read.
    """
    began = clock.monotonic()
    while True:
        checkpoints = await reader.read(audit_chain.checkpoints)
        # Retention archives events before it signs a checkpoint: this order misses none.
        past = await asyncio.to_thread(_archived, archives, keys, checkpoints, anchors)
        walk = Walk(keys=keys, anchors=anchors.genuine)
        forged = walk.start(checkpoints)
        problem = past.problem or await _walk(walk, reader, batch_size) or forged
        # Retention may have removed events during the walk.
        if problem is None or checkpoints == await reader.read(audit_chain.checkpoints):
            break
    problem = problem or anchors.forged
    return _verdict(walk, anchors, past, problem, clock.monotonic() - began)


@dataclass(frozen=True, kw_only=True)
class _Past:
    """The removed events in the archives."""

    first: int | None = None
    events: int = 0
    problem: ChainViolation | None = None


def _archived(
    folders: Sequence[Path],
    keys: Sequence[bytes],
    checkpoints: Sequence[Checkpoint],
    anchors: AnchorBook,
) -> _Past:
    """Walk over the archived events, up to the first one that the database still has.

    A checkpoint is an anchor of them: it has the number and the MAC of the last event that was
    removed, so the archives must lead to it, and the database continues from it.
    """
    try:
        files = []
        for folder in folders:
            archive = Archive(folder=folder, keys=keys)
            for file in archive.event_files():
                archive.check(file.path)
                files.append(file)
        points = [point for point in checkpoints if point.kind == CheckpointKind.REMOVED]
        removed = max((point.seq for point in points), default=0)
        files = [file for file in sorted(files, key=_number) if file.first <= removed]
        if not files:
            return _Past()
        known = {(anchor.seq, anchor.mac): anchor for anchor in anchors.genuine}
        for point in points:
            made = Anchor(at=str(point.at), seq=point.seq, mac=point.mac, signature="")
            known.setdefault((point.seq, point.mac), made)
        met = sorted(
            (anchor for anchor in known.values() if anchor.seq <= removed),
            key=lambda anchor: anchor.seq,
        )
        walk = Walk(keys=keys, anchors=met)
        walk.start(checkpoints, first=files[0].first)
        problem = _follow(walk, files, removed)
    except (StoreError, OSError) as error:
        return _Past(
            problem=ChainViolation(fault=Tampering.ARCHIVE_CHANGED, seq=0, detail=str(error))
        )
    if problem is None and walk.missed_anchor is not None:
        problem = ChainViolation(
            fault=Tampering.REMOVED,
            seq=walk.seq + 1,
            detail=f"events {walk.seq + 1} to {removed} were removed from the database, and no "
            "archive has them: name the archive folder of every reconciler",
        )
    return _Past(first=files[0].first, events=walk.seq - files[0].first + 1, problem=problem)


def _follow(walk: Walk, files: Sequence[EventFile], removed: int) -> ChainViolation | None:
    """Go over the rows of some files up to the last removed one; they may overlap."""
    for file in files:
        for page in archive.links_of(file):
            rows = [row for row in page if walk.seq < row.seq <= removed]
            if rows and not walk.feed(rows):
                return diagnose(walk, [row for row in rows if row.seq > walk.seq] or rows[-1:])
    return None


def _number(file: EventFile) -> tuple[int, int]:
    return file.first, file.last


async def _walk(walk: Walk, reader: Reader, batch_size: int) -> ChainViolation | None:
    """Check all events and the head."""
    while True:
        batch = await _next_batch(reader, walk.after, batch_size)
        if batch is None:
            return _unreadable(walk.seq + 1)
        if not walk.feed(batch.rows):
            around = await _next_batch(reader, walk.after, WINDOW)
            return diagnose(walk, around.rows) if around else _unreadable(walk.seq + 1)
        if batch.is_last:
            return walk.end(batch.head) or _unsigned(walk, batch.head)


def _unsigned(walk: Walk, head: Head) -> ChainViolation | None:
    """Return a problem if the head matches the last event but is not signed with the key."""
    if not head.mac or any(head.is_signed_by(key) for key in walk.keys):
        return None
    return ChainViolation(
        fault=Tampering.HEAD_CHANGED,
        seq=head.seq,
        detail=f"the chain's head, event {head.seq}, is not signed with the key: the log was "
        "truncated, or this version of the reconciler has not written to the database yet",
    )


@dataclass(frozen=True, kw_only=True)
class _Batch:
    rows: list[Link]
    head: Head
    is_last: bool


async def _next_batch(reader: Reader, after: int | None, limit: int) -> _Batch | None:
    """Return the next rows, fewer if one is unreadable; None if the next one is.

    Raises:
        StoreError: the database could not be read at all.
    """
    while True:
        try:
            return await reader.read(partial(_batch, after=after, limit=limit))
        except StoreError:
            if limit == 1:
                await reader.read(audit_chain.newest)
                return None
            limit //= 2


def _batch(connection: Connection, *, after: int | None, limit: int) -> _Batch:
    rows = audit_chain.links(connection, after=after, limit=limit)
    return _Batch(rows=rows, head=audit_chain.newest(connection), is_last=len(rows) < limit)


def _unreadable(seq: int) -> ChainViolation:
    detail = f"event {seq}, or the next one, cannot be read: it was edited or is corrupt"
    return ChainViolation(fault=Tampering.EDITED, seq=seq, detail=detail)


def _verdict(
    walk: Walk,
    anchors: AnchorBook,
    past: _Past,
    problem: ChainViolation | None,
    took_seconds: float,
) -> ChainVerdict:
    last_anchor = anchors.genuine[-1] if anchors.genuine else None
    verified = 0 if walk.first is None else walk.seq - walk.first + 1
    anchored = last_anchor.seq if last_anchor else (walk.first or 1) - 1
    return ChainVerdict(
        verified=verified,
        first=walk.first,
        last=walk.seq,
        unchained=walk.unchained,
        anchors=len(anchors.genuine),
        last_anchor=last_anchor,
        unanchored=max(0, min(verified, walk.seq - anchored)),
        torn_anchors=anchors.torn,
        without_anchors=anchors.without,
        is_begun=bool(walk.begun),
        removed=walk.removed,
        archived=past.events,
        archived_from=past.first,
        keys=tuple(
            KeySection(seq=seq, key=audit_chain.name_of(walk.keys[index]))
            for seq, index in walk.sections
        ),
        problem=problem,
        took_seconds=took_seconds,
    )
