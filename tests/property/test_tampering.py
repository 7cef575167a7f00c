"""No tampering with the timeline goes unseen, and what is reported it is right."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.builders import NOW
from tests.property.tampering import ANCHORED, EVENTS, KEY, Copy, check, full_log, tamper
from trading_ops.audit.checkpoint import make_anchor
from trading_ops.audit.walk import Tampering
from trading_ops.store import audit_chain
from trading_ops.store.audit_chain import Head, Link

NEWER = b"a newer key"


def test_every_tampering_is_detected() -> None:
    """Edits, removals, insertions, swaps, cuts and rewriting without the key: none is missed."""
    found, missed = tamper(1_500, seed=1)
    assert missed == 0, found
    assert sum(found.values()) == 1_500
    assert len({attack for attack, _ in found}) == 6


def edited(log: Copy, seq: int, **changes: str | None) -> None:
    log.rows[seq] = log.rows[seq]._replace(**changes)  # type: ignore[arg-type]


def exchanged(log: Copy, seq: int, other: int) -> None:
    first, second = log.rows[seq], log.rows[other]
    log.rows[seq], log.rows[other] = second._replace(seq=seq), first._replace(seq=other)


def cut(log: Copy, last: int, *, head: bool) -> None:
    log.rows = {seq: row for seq, row in log.rows.items() if seq <= last}
    if head:
        log.head = Head(last, str(log.rows[last].mac))


@pytest.mark.parametrize(
    ("attack", "fault", "seq"),
    [
        (lambda s: edited(s, 9, note="nothing"), Tampering.EDITED, 9),
        (lambda s: edited(s, 1, note="nothing"), Tampering.EDITED, 1),
        (lambda s: edited(s, EVENTS, note="nothing"), Tampering.EDITED, EVENTS),
        (lambda s: edited(s, 9, mac="0" * 64), Tampering.EDITED, 9),
        (lambda s: edited(s, 9, mac=None), Tampering.EDITED, 9),
        (lambda s: s.rows.pop(9), Tampering.REMOVED, 9),
        (lambda s: s.rows.pop(1), Tampering.REMOVED, 1),
        (lambda s: exchanged(s, 9, 12), Tampering.SWAPPED, 9),
        (lambda s: exchanged(s, 1, 2), Tampering.SWAPPED, 1),
        (lambda s: cut(s, 35, head=False), Tampering.TRUNCATED, 36),
        (lambda s: cut(s, 30, head=True), Tampering.TRUNCATED, 31),
        (lambda s: setattr(s, "head", Head(EVENTS, "0" * 64)), Tampering.HEAD_CHANGED, EVENTS),
        (lambda s: setattr(s, "head", Head(EVENTS - 2, "")), Tampering.HEAD_CHANGED, EVENTS),
    ],
)
def test_the_first_bad_event_is_named(
    attack: Callable[[Copy], object], fault: Tampering, seq: int
) -> None:
    """The operator sees what was done, and where to look."""
    log = full_log(random.Random(4))
    attack(log)
    problem = check(log)
    assert problem is not None
    assert (problem.fault, problem.seq) == (fault, seq), problem


def test_only_behind_the_last_anchor_a_cut_cannot_be_seen() -> None:
    """The promise's limit, so that no one promises more."""
    log = full_log(random.Random(4))
    cut(log, ANCHORED[-1], head=True)
    assert check(log) is None


def test_another_key_is_named_as_such() -> None:
    """A wrong key file is not taken for an attack on the first event."""
    problem = check(full_log(random.Random(4)), (b"another",))
    assert problem is not None
    assert problem.fault is Tampering.WRONG_KEY


def test_what_is_older_than_the_chain_is_counted_and_no_fault() -> None:
    """A database that was there before the chain can be verified from where it starts."""
    log = Copy()
    for seq in (1, 2, 4):  # the old numbers could have gaps
        log.rows[seq] = Link(seq, 0, "opened", None, None, "", "", "", None, None, None)
    log.head = Head(4, "")
    assert check(log) is None
    row = log.rows[4]._replace(seq=5)
    log.rows[5] = row._replace(mac=audit_chain.mac_of(KEY, "", 5, row[1:-1]))
    log.head = Head(5, str(log.rows[5].mac))
    assert check(log) is None
    log.rows[5] = log.rows[5]._replace(mac=None)
    log.head = Head(5, "")
    log.anchors = [make_anchor(KEY, Head(5, "0" * 64), NOW)]
    problem = check(log)
    assert problem is not None
    assert problem.fault is Tampering.REWRITTEN


def rotated(kind: str, key: bytes) -> Copy:
    """An audit log that continues with another key, from an event of some kind."""
    log = full_log(random.Random(4))
    seq, mac = log.head[:2]
    for event_kind in (kind, "opened"):
        seq += 1
        row = Link(seq, 0, event_kind, None, None, "", "", "", None, None, None)
        mac = audit_chain.mac_of(key, mac, seq, row[1:-1])
        log.rows[seq] = row._replace(mac=mac)
    log.head = Head(seq, mac)
    return log


def test_a_key_is_changed_only_where_an_event_reports_it() -> None:
    """The older key's holder cannot continue with it, nor the newer one start anywhere."""
    log = rotated(audit_chain.KEY_CHANGED, NEWER)
    assert check(log, (NEWER, KEY)) is None
    for wrong in ((KEY,), (KEY, NEWER)):  # not known, or in the wrong order
        assert check(log, wrong) is not None
    problem = check(rotated("opened", NEWER), (NEWER, KEY))
    assert problem is not None
    assert problem.fault is Tampering.WRONG_KEY


def test_a_forged_anchor_has_no_signature() -> None:
    """Anyone who has no key can make no anchor, nor move one."""
    anchor = full_log(random.Random(4)).anchors[0]
    assert anchor.is_signed_by(KEY)
    assert not anchor.is_signed_by(NEWER)
    for changed in (
        replace(anchor, seq=anchor.seq + 1),
        replace(anchor, mac="0" * 64),
        replace(anchor, at="2026-03-01T12:00:00.000001Z"),
    ):
        assert not changed.is_signed_by(KEY)
