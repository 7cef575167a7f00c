"""Ten thousand random tamperings with the timeline, each of which must show. Prints what was found.

`python -m tests.property.tampering [COUNT] [SEED]`. The attacker may do anything to the rows, the
chain's head and the anchors' file, but does not have the key; triggers do not exist for him. What
is cut off behind the last anchor cannot show, so each attack touches something before it.
"""

import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from tests.builders import NOW
from trading_ops.audit.checkpoint import Anchor, make_anchor
from trading_ops.audit.diagnosis import diagnose
from trading_ops.audit.walk import ChainViolation, Walk
from trading_ops.store import audit_chain
from trading_ops.store.audit_chain import Head, Link

KEY = b"the key of the audit log"
EVENTS = 40
ANCHORED = (7, 19, 20, 33)


@dataclass
class Copy:
    """A database as a thief has it: rows by number, as the primary key wants it, and the head."""

    rows: dict[int, Link] = field(default_factory=dict)
    head: Head = field(default_factory=lambda: Head(0, ""))
    anchors: list[Anchor] = field(default_factory=list)


def full_log(choose: random.Random) -> Copy:
    """Return an untouched audit log of different events, in which equal neighbors occur too."""
    log = Copy()
    seq, mac = 0, ""
    for _ in range(EVENTS):
        seq += 1
        kind = choose.choice(["opened", "decided_wait", "started", "closed"])
        note = choose.choice(["", "bot alpha", "cooldown", "ü"])
        at = choose.randrange(3) + 1_700_000_000_000_000
        row = Link(seq, at, kind, "incident-1", None, "reconciler", "", note, None, None, None)
        mac = audit_chain.mac_of(KEY, mac, seq, row[1:-1])
        log.rows[seq] = row._replace(mac=mac)
        if seq in ANCHORED:
            moment = NOW + timedelta(seconds=seq)
            log.anchors.append(make_anchor(KEY, Head(seq, mac), moment))
    log.head = Head(seq, mac)
    return log


def check(log: Copy, keys: tuple[bytes, ...] = (KEY,)) -> ChainViolation | None:
    """Verify as `reports.audit` does, on rows in memory."""
    walk = Walk(keys=keys, anchors=sorted(log.anchors, key=lambda anchor: anchor.seq))
    rows = [log.rows[seq] for seq in sorted(log.rows)]
    if walk.feed(rows):
        return walk.end(log.head)
    return diagnose(walk, [row for row in rows if row.seq > walk.seq])


def edit(log: Copy, choose: random.Random) -> None:
    """Change one field of one event; the MAC too, sometimes."""
    seq = choose.randint(1, ANCHORED[-1])
    row = log.rows[seq]
    changes: list[Callable[[], Link]] = [
        lambda: row._replace(at=row.at + choose.choice([-1, 1, 10**6])),
        lambda: row._replace(kind=row.kind + "x"),
        lambda: row._replace(incident_id=None),
        lambda: row._replace(attempt_id=""),
        lambda: row._replace(actor="nobody"),
        lambda: row._replace(reason=row.reason + " "),
        lambda: row._replace(note=row.note + "\N{ZERO WIDTH SPACE}"),
        lambda: row._replace(before="{}"),
        lambda: row._replace(after="null"),
        lambda: row._replace(kind=row.kind[:-1], note=row.kind[-1] + row.note),
        lambda: row._replace(mac=None),
        lambda: row._replace(mac=choose.randbytes(32).hex()),
        lambda: row._replace(note="x", mac=choose.randbytes(32).hex()),
    ]
    log.rows[seq] = choose.choice(changes)()


def remove(log: Copy, choose: random.Random) -> None:
    """Take some events out of the middle; renumber the rest and set the head, sometimes."""
    first = choose.randint(1, ANCHORED[-1])
    count = choose.randint(1, EVENTS - first)
    for seq in range(first, first + count):
        del log.rows[seq]
    if choose.random() < 0.5:
        renumber(log, first, -count)


def insert(log: Copy, choose: random.Random) -> None:
    """Put an event in: in place of none, with a copied MAC or another key's."""
    seq = choose.randint(1, ANCHORED[-1])
    model = log.rows[choose.randint(1, EVENTS)]
    if choose.random() < 0.1:
        before = choose.choice([0, -1, -EVENTS])
        log.rows[before] = model._replace(seq=before, mac=choose.choice([model.mac, None]))
        return
    renumber(log, seq, 1)
    previous = log.rows[seq - 1].mac if seq > 1 else ""
    macs = [model.mac, None, audit_chain.mac_of(b"guess", previous or "", seq, model[1:-1])]
    log.rows[seq] = model._replace(seq=seq, mac=choose.choice(macs))


def swap(log: Copy, choose: random.Random) -> None:
    """Exchange what two numbers hold, with or without the MACs."""
    moved = choose.randint(1, ANCHORED[-1])
    other = choose.choice([seq for seq in log.rows if seq != moved])
    first, second = log.rows[moved], log.rows[other]
    if choose.random() < 0.5 and first[1:-1] != second[1:-1]:
        log.rows[moved] = second._replace(seq=moved, mac=first.mac)
        log.rows[other] = first._replace(seq=other, mac=second.mac)
    else:
        log.rows[moved] = second._replace(seq=moved)
        log.rows[other] = first._replace(seq=other)


def cut(log: Copy, choose: random.Random) -> None:
    """Take the end off, before the last anchor, and set the head so that it fits."""
    last = choose.randint(0, ANCHORED[-1] - 1)
    log.rows = {seq: row for seq, row in log.rows.items() if seq <= last}
    log.head = head_of(log)
    if choose.random() < 0.3:
        # The reconciler, unaware, continues from there.
        seq, mac = log.head[:2]
        for _ in range(choose.randint(1, EVENTS)):
            seq += 1
            new = Link(seq, 1, "opened", None, None, "reconciler", "", "new", None, None, None)
            mac = audit_chain.mac_of(KEY, mac, seq, new[1:-1])
            log.rows[seq] = new._replace(mac=mac)
        log.head = Head(seq, mac)


def rewrite(log: Copy, choose: random.Random) -> None:
    """Chain everything again from some event on, without the key, or as if before the chain."""
    seq = choose.randint(1, ANCHORED[-1])
    unchain = choose.random() < 0.3
    mac = "" if unchain else log.rows[seq - 1].mac or "" if seq > 1 else ""
    for number in sorted(log.rows):
        if unchain:
            log.rows[number] = log.rows[number]._replace(mac=None)
        elif number >= seq:
            row = log.rows[number]._replace(note="rewritten")
            mac = audit_chain.mac_of(b"guess", mac, number, row[1:-1])
            log.rows[number] = row._replace(mac=mac)
    log.head = head_of(log)


ATTACKS = (edit, remove, insert, swap, cut, rewrite)


def renumber(log: Copy, begin: int, by: int) -> None:
    """Move the numbers of all events from one on, and set the head."""
    log.rows = {
        seq + by if seq >= begin else seq: row._replace(seq=seq + by) if seq >= begin else row
        for seq, row in log.rows.items()
    }
    log.head = head_of(log)


def head_of(log: Copy) -> Head:
    """Return the head that the rows as they are would have."""
    last = max(log.rows, default=0)
    return Head(last, (log.rows[last].mac or "") if last else "")


def tamper(count: int, seed: int) -> tuple[Counter[tuple[str, str]], int]:
    """Attack so often; return how often what was found for which attack, and what was missed."""
    choose = random.Random(seed)
    found: Counter[tuple[str, str]] = Counter()
    missed = 0
    for number in range(count):
        if number % 50 == 0:
            original = full_log(choose)
            assert check(original) is None, "an untouched audit log is intact"
        log = Copy(dict(original.rows), original.head, original.anchors)
        attack = choose.choice(ATTACKS)
        attack(log, choose)
        if choose.random() < 0.2:
            log.head = head_of(log)
        problem = check(log)
        found[attack.__name__, problem.fault.value if problem else "MISSED"] += 1
        missed += problem is None
    return found, missed


def main() -> int:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    found, missed = tamper(count, seed)
    for (attack, fault), times in sorted(found.items()):
        print(f"{attack:<10} found as {fault:<15} {times:>7}")  # noqa: T201
    print(f"{count} tamperings, {count - missed} detected, {missed} missed (seed {seed})")  # noqa: T201
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
