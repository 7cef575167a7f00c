"""Walks the chain of events: each row must follow from the previous one and match its anchor.

No I/O: rows, keys and anchors come from the caller. `diagnosis` examines the first invalid row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from trading_ops.audit.checkpoint import Anchor
from trading_ops.store import audit_chain
from trading_ops.store.audit_chain import Checkpoint, CheckpointKind, Head, Link


class Tampering(StrEnum):
    """The kind of tampering."""

    EDITED = "edited"
    REMOVED = "removed"
    INSERTED = "inserted"
    SWAPPED = "swapped"
    TRUNCATED = "truncated"
    REWRITTEN = "rewritten"
    HEAD_CHANGED = "head changed"
    WRONG_KEY = "wrong key"
    ANCHOR_FORGED = "anchor forged"
    CHECKPOINT_FORGED = "checkpoint forged"
    ARCHIVE_CHANGED = "archive changed"


@dataclass(frozen=True, kw_only=True)
class ChainViolation:
    """The first problem."""

    fault: Tampering
    seq: int
    """The first affected event."""

    detail: str


def fits(key: bytes, previous: str, seq: int, row: Link) -> bool:
    """Return whether a row has the right MAC for a number and a previous MAC."""
    return audit_chain.mac_of(key, previous, seq, row[1:-1]) == row[-1]


@dataclass(kw_only=True)
class Walk:
    """State of one verification: goes over all events in order."""

    keys: Sequence[bytes]
    """The current key, then older ones."""

    anchors: Sequence[Anchor] = ()
    """Genuine anchors, in ascending order."""

    seq: int = 0
    """The last valid event."""

    mac: str = ""
    """Its MAC; empty before the chain's first event."""

    first: int | None = None
    """The first chained event."""

    unchained: int = 0
    """Number of events from before the chain, which cannot be verified."""

    key: int = -1
    """Index of the key at this position."""

    sections: list[tuple[int, int]] = field(default_factory=list)
    """The first event of each key."""

    begun: frozenset[int] = frozenset()
    """Signed starts of the chain: one, unless MACs were removed."""

    removed: int = 0
    """The last event that retention removed, as signed."""

    _anchored: int = 0

    def start(
        self, checkpoints: Sequence[Checkpoint], *, first: int | None = None
    ) -> ChainViolation | None:
        """Load the checkpoints before the first row; return the first forged one as a problem.

        Args:
            checkpoints: of the database.
            first: the first row, if removed rows are known and walked over.
        """
        genuine = [point for point in checkpoints if any(map(point.is_signed_by, self.keys))]
        self.begun = frozenset(point.seq for point in genuine if point.kind == CheckpointKind.BEGUN)
        for point in genuine:
            is_before = first is None or point.seq < first
            if point.kind == CheckpointKind.REMOVED and point.seq > self.seq and is_before:
                self.seq, self.mac, self.removed = point.seq, point.mac, point.seq
        while (anchor := self.missed_anchor) is not None and (
            anchor.seq < self.seq or (anchor.seq, anchor.mac) == (self.seq, self.mac)
        ):
            self._anchored += 1
        return next(
            (
                ChainViolation(
                    fault=Tampering.CHECKPOINT_FORGED,
                    seq=point.seq,
                    detail=f"the checkpoint `{point.kind}` at event {point.seq} is not signed with "
                    "the key",
                )
                for point in checkpoints
                if point not in genuine
            ),
            None,
        )

    def feed(self, rows: Iterable[Link]) -> bool:
        """Check the next rows; False: the row after `seq` is invalid."""
        mac_of = audit_chain.mac_of
        for row in rows:
            seq, mac = row[0], row[-1]
            if self.first is None:
                if not self._begins(row):
                    return False
            elif seq != self.seq + 1:
                return False
            elif mac_of(self.keys[self.key], self.mac, seq, row[1:-1]) != mac:
                if not self._changes_key(row):
                    return False
                self.mac = str(mac)
            else:
                self.mac = mac
            self.seq = seq
            if self._anchored < len(self.anchors) and not self._fits_anchors():
                return False
        return True

    def _begins(self, row: Link) -> bool:
        """Check a row from before the chain, or the first chained row."""
        if row.seq <= self.removed:
            return False
        if row.mac is None and not self.mac:
            self.unchained += 1
            return True
        if self.mac and row.seq != self.seq + 1:
            return False
        if not self.mac and self.begun and self.begun != {row.seq - 1}:
            return False
        for index in reversed(range(len(self.keys))):
            if row.mac is not None and fits(self.keys[index], self.mac, row.seq, row):
                self.first, self.mac = row.seq, row.mac
                self._use(index, row.seq)
                return True
        return False

    def _changes_key(self, row: Link) -> bool:
        """Continue with a newer key, from the event that records it."""
        if row.kind != audit_chain.KEY_CHANGED:
            return False
        for index in reversed(range(self.key)):
            if fits(self.keys[index], self.mac, row.seq, row):
                self._use(index, row.seq)
                return True
        return False

    def _use(self, index: int, seq: int) -> None:
        self.key = index
        self.sections.append((seq, index))

    def _fits_anchors(self) -> bool:
        """Return whether the current row matches its anchor, if it has one."""
        while self._anchored < len(self.anchors):
            anchor = self.anchors[self._anchored]
            if anchor.seq > self.seq:
                return True
            if anchor.seq == self.seq and anchor.mac != self.mac:
                return False
            if anchor.seq < self.seq and self.first in {None, self.seq}:
                return False  # the anchored event lost its MAC
            self._anchored += 1
        return True

    @property
    def after(self) -> int | None:
        """Return the number after which reading continues; None: from the first existing event."""
        return None if self.first is None and not self.unchained else self.seq

    @property
    def missed_anchor(self) -> Anchor | None:
        """Return the first anchor after the current row."""
        return self.anchors[self._anchored] if self._anchored < len(self.anchors) else None

    def end(self, head: Head) -> ChainViolation | None:
        """Return the problem at the end, if all rows are valid."""
        anchor = self.missed_anchor
        if self.seq < head.seq:
            return ChainViolation(
                fault=Tampering.TRUNCATED,
                seq=self.seq + 1,
                detail=f"events {self.seq + 1} to {head.seq} are missing at the end",
            )
        if anchor is not None:
            return ChainViolation(
                fault=Tampering.TRUNCATED,
                seq=self.seq + 1,
                detail=f"events from {self.seq + 1} on are missing at the end: event {anchor.seq} "
                f"was anchored at {anchor.at}",
            )
        if (self.seq, self.mac) != (head.seq, head.mac):
            return ChainViolation(
                fault=Tampering.HEAD_CHANGED,
                seq=self.seq,
                detail=f"the chain's head is event {head.seq}, but the last event is {self.seq}"
                if self.seq != head.seq
                else f"the chain's head has another MAC than event {self.seq}",
            )
        return None
