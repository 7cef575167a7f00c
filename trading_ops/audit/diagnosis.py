"""Finds the kind of tampering for the first invalid event, by testing what would make it valid."""

from collections.abc import Sequence

from trading_ops.audit.walk import ChainViolation, Tampering, Walk, fits
from trading_ops.store import audit_chain
from trading_ops.store.audit_chain import Link

WINDOW = 1000
"""Number of rows after the invalid one that are examined."""


def diagnose(walk: Walk, rows: Sequence[Link]) -> ChainViolation:
    """Return the problem after the last valid event.

    Args:
        walk: that stopped at the problem.
        rows: the next rows after `walk.seq`, at most `WINDOW`, at least one.
    """
    anchor = walk.missed_anchor
    if anchor is not None and anchor.seq <= walk.seq:
        return ChainViolation(
            fault=Tampering.REWRITTEN,
            seq=anchor.seq,
            detail=f"event {anchor.seq} is not the one that was anchored at {anchor.at}: "
            "the events were removed and written again",
        )
    row = rows[0]
    if row.seq < 1:
        detail = f"event {row.seq} was inserted: numbers start at 1"
        return ChainViolation(fault=Tampering.INSERTED, seq=row.seq, detail=detail)
    if row.seq <= walk.removed:
        detail = f"event {row.seq} was inserted: events up to {walk.removed} were removed"
        return ChainViolation(fault=Tampering.INSERTED, seq=row.seq, detail=detail)
    if walk.first is None:
        return _at_the_beginning(walk, rows)
    if row.seq != walk.seq + 1:
        return ChainViolation(
            fault=Tampering.REMOVED, seq=walk.seq + 1, detail=_missing(walk.seq + 1, row.seq - 1)
        )
    key = walk.keys[walk.key]
    found = _moved(key, walk.mac, rows) or _taken_or_changed(key, walk.mac, rows)
    if found is not None:
        return found
    if any(fits(other, walk.mac, row.seq, row) for other in walk.keys):
        return ChainViolation(
            fault=Tampering.WRONG_KEY,
            seq=row.seq,
            detail=f"event {row.seq} was written with another key, without a key change event",
        )
    return ChainViolation(
        fault=Tampering.EDITED,
        seq=row.seq,
        detail=f"event {row.seq} ({row.kind}) was edited or inserted: its MAC matches nothing",
    )


def _at_the_beginning(walk: Walk, rows: Sequence[Link]) -> ChainViolation:
    """Diagnose an invalid first event: another key, missing events before it, or an edit."""
    row = rows[0]
    if walk.mac and row.seq != walk.seq + 1:
        missing = _missing(walk.seq + 1, row.seq - 1)
        return ChainViolation(fault=Tampering.REMOVED, seq=walk.seq + 1, detail=missing)
    if not walk.mac and walk.begun and walk.begun != {row.seq - 1}:
        if (missed := max(walk.seq, min(walk.begun)) + 1) < row.seq:
            detail = _missing(missed, row.seq - 1)
            return ChainViolation(fault=Tampering.REMOVED, seq=missed, detail=detail)
        signed = " and ".join(str(seq + 1) for seq in sorted(walk.begun))
        return ChainViolation(
            fault=Tampering.REWRITTEN,
            seq=row.seq,
            detail=f"the chain begins at event {row.seq}; the signed start is {signed}",
        )
    for key in walk.keys:
        found = _moved(key, walk.mac, rows) or _taken_or_changed(key, walk.mac, rows)
        if found is None:
            continue
        if found.fault is Tampering.EDITED and row.seq > walk.seq + 1:
            # A previous MAC only shows that there was an event before it.
            missing = _missing(walk.seq + 1, row.seq - 1)
            return ChainViolation(fault=Tampering.REMOVED, seq=walk.seq + 1, detail=missing)
        return found
    return ChainViolation(
        fault=Tampering.WRONG_KEY,
        seq=row.seq,
        detail=f"event {row.seq}, the first of the chain, fits no key: either this is not the key "
        "that it was written with, or all events were written again",
    )


def _missing(first: int, last: int) -> str:
    return f"event {first} is missing" if first == last else f"events {first} to {last} are missing"


def _moved(key: bytes, previous: str, rows: Sequence[Link]) -> ChainViolation | None:
    """Search for the expected event further on: then others were inserted, or two were swapped."""
    place = rows[0].seq
    for index in range(1, len(rows)):
        row = rows[index]
        if not fits(key, previous, place, row):
            continue
        after = rows[index + 1 : index + 2]
        if not after or fits(key, str(row.mac), place + 1, after[0]):
            return ChainViolation(
                fault=Tampering.INSERTED,
                seq=place,
                detail=f"event {place} was inserted: the event that belongs there is now {row.seq}",
            )
        return ChainViolation(
            fault=Tampering.SWAPPED,
            seq=place,
            detail=f"the event that belongs at {place} is at {row.seq}",
        )
    return None


def _taken_or_changed(key: bytes, previous: str, rows: Sequence[Link]) -> ChainViolation | None:
    """Diagnose by the next event: if it follows from this one, this one or earlier ones changed."""
    row, following = rows[0], rows[1:2]
    if not following:
        return None
    after = following[0]
    if row.mac is not None and fits(key, row.mac, after.seq, after):
        return ChainViolation(
            fault=Tampering.EDITED,
            seq=row.seq,
            detail=f"event {row.seq} ({row.kind}) was edited: its MAC does not match its content",
        )
    if fits(key, audit_chain.mac_of(key, previous, row[0], row[1:-1]), after.seq, after):
        how = "taken off" if row.mac is None else "edited"
        return ChainViolation(
            fault=Tampering.EDITED,
            seq=row.seq,
            detail=f"the MAC of event {row.seq} ({row.kind}) was {how}",
        )
    for gone in range(1, WINDOW):
        if row.mac is not None and fits(key, row.mac, after.seq + gone, after):
            return ChainViolation(
                fault=Tampering.REMOVED,
                seq=row.seq,
                detail=f"{gone} event{'s' if gone > 1 else ''} before what is now event {row.seq} "
                f"{'are' if gone > 1 else 'is'} missing, and the rest was renumbered",
            )
    return None
