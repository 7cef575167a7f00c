"""No tampering with the timeline goes unseen, and what is told of it is right."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.builders import NOW
from tests.property.tampering import ANCHORED, EVENTS, KEY, Copy, check, tamper, whole_story
from trading_ops.audit.checkpoint import make_anchor
from trading_ops.audit.walk import Fault
from trading_ops.store import events
from trading_ops.store.events import Head, Link

NEWER = b"a newer key"


def test_every_tampering_is_detected() -> None:
    """Edits, removals, insertions, swaps, cuts and rewriting without the key: none is missed."""
    found, missed = tamper(1_500, seed=1)
    assert missed == 0, found
    assert sum(found.values()) == 1_500
    assert len({attack for attack, _ in found}) == 6


def edited(story: Copy, seq: int, **changes: str | None) -> None:
    story.rows[seq] = story.rows[seq]._replace(**changes)  # type: ignore[arg-type]


def exchanged(story: Copy, one: int, other: int) -> None:
    first, second = story.rows[one], story.rows[other]
    story.rows[one], story.rows[other] = second._replace(seq=one), first._replace(seq=other)


def cut(story: Copy, last: int, *, head: bool) -> None:
    story.rows = {seq: row for seq, row in story.rows.items() if seq <= last}
    if head:
        story.head = Head(last, str(story.rows[last].mac))


@pytest.mark.parametrize(
    ("attack", "fault", "seq"),
    [
        (lambda s: edited(s, 9, note="nothing"), Fault.EDITED, 9),
        (lambda s: edited(s, 1, note="nothing"), Fault.EDITED, 1),
        (lambda s: edited(s, EVENTS, note="nothing"), Fault.EDITED, EVENTS),
        (lambda s: edited(s, 9, mac="0" * 64), Fault.EDITED, 9),
        (lambda s: edited(s, 9, mac=None), Fault.EDITED, 9),
        (lambda s: s.rows.pop(9), Fault.REMOVED, 9),
        (lambda s: s.rows.pop(1), Fault.REMOVED, 1),
        (lambda s: exchanged(s, 9, 12), Fault.SWAPPED, 9),
        (lambda s: exchanged(s, 1, 2), Fault.SWAPPED, 1),
        (lambda s: cut(s, 35, head=False), Fault.CUT_OFF, 36),
        (lambda s: cut(s, 30, head=True), Fault.CUT_OFF, 31),
        (lambda s: setattr(s, "head", Head(EVENTS, "0" * 64)), Fault.HEAD_CHANGED, EVENTS),
        (lambda s: setattr(s, "head", Head(EVENTS - 2, "")), Fault.HEAD_CHANGED, EVENTS),
    ],
)
def test_the_first_bad_event_is_named(
    attack: Callable[[Copy], object], fault: Fault, seq: int
) -> None:
    """An operator is told what was done, and where to look."""
    story = whole_story(random.Random(4))
    attack(story)
    problem = check(story)
    assert problem is not None
    assert (problem.fault, problem.seq) == (fault, seq), problem


def test_only_behind_the_last_anchor_a_cut_cannot_be_seen() -> None:
    """The promise's limit, so that no one promises more."""
    story = whole_story(random.Random(4))
    cut(story, ANCHORED[-1], head=True)
    assert check(story) is None


def test_another_key_is_named_as_such() -> None:
    """A wrong key file is not taken for an attack on the first event."""
    problem = check(whole_story(random.Random(4)), (b"another",))
    assert problem is not None
    assert problem.fault is Fault.WRONG_KEY


def test_what_is_older_than_the_chain_is_counted_and_no_fault() -> None:
    """A database that was there before the chain can be verified from where it starts."""
    story = Copy()
    for seq in (1, 2, 4):  # the old numbers could have gaps
        story.rows[seq] = Link(seq, 0, "opened", None, None, "", "", "", None, None, None)
    story.head = Head(4, "")
    assert check(story) is None
    row = story.rows[4]._replace(seq=5)
    story.rows[5] = row._replace(mac=events.mac_of(KEY, "", 5, row[1:-1]))
    story.head = Head(5, str(story.rows[5].mac))
    assert check(story) is None
    story.rows[5] = story.rows[5]._replace(mac=None)
    story.head = Head(5, "")
    story.anchors = [make_anchor(KEY, Head(5, "0" * 64), NOW)]
    problem = check(story)
    assert problem is not None
    assert problem.fault is Fault.REWRITTEN


def rotated(kind: str, key: bytes) -> Copy:
    """A story that continues with another key, from an event of some kind."""
    story = whole_story(random.Random(4))
    seq, mac = story.head[:2]
    for what in (kind, "opened"):
        seq += 1
        row = Link(seq, 0, what, None, None, "", "", "", None, None, None)
        mac = events.mac_of(key, mac, seq, row[1:-1])
        story.rows[seq] = row._replace(mac=mac)
    story.head = Head(seq, mac)
    return story


def test_a_key_is_changed_only_where_an_event_tells_of_it() -> None:
    """The older key's holder cannot continue with it, nor the newer one start anywhere."""
    story = rotated(events.KEY_CHANGED, NEWER)
    assert check(story, (NEWER, KEY)) is None
    for wrong in ((KEY,), (KEY, NEWER)):  # not known, or in the wrong order
        assert check(story, wrong) is not None
    problem = check(rotated("opened", NEWER), (NEWER, KEY))
    assert problem is not None
    assert problem.fault is Fault.WRONG_KEY


def test_a_forged_anchor_has_no_signature() -> None:
    """Anyone who has no key can make no anchor, nor move one."""
    anchor = whole_story(random.Random(4)).anchors[0]
    assert anchor.is_signed_by(KEY)
    assert not anchor.is_signed_by(NEWER)
    for changed in (
        replace(anchor, seq=anchor.seq + 1),
        replace(anchor, mac="0" * 64),
        replace(anchor, at="2026-03-01T12:00:00.000001Z"),
    ):
        assert not changed.is_signed_by(KEY)
