"""What must be true when everything is settled: the database against what the outside has seen."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, select, text

from tests.crash.load import Promised
from trading_ops.domain.attempt import RUNNING, AttemptState, DeliverySemantics
from trading_ops.store import audit_chain
from trading_ops.store.tables import (
    attempts,
    chain,
    claims,
    events,
    incidents,
    notifications,
    replicas,
)


@dataclass
class Found:
    """Violations, each a sentence; empty lists are what is hoped for."""

    lost: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    integrity: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    """Answers to a webhook other than 200 and 503."""

    def add(self, other: "Found") -> None:
        """Take in what was found elsewhere."""
        for name in self.__dataclass_fields__:
            getattr(self, name).extend(getattr(other, name))

    @property
    def count(self) -> int:
        """How many violations there are."""
        return sum(len(getattr(self, name)) for name in self.__dataclass_fields__)


def check_all(
    engine: Engine, audit_key: bytes, promised: Promised, seen: list[dict[str, Any]]
) -> Found:
    """Check everything but what is stuck, which needs time."""
    found = Found()
    with engine.connect() as connection:
        found.integrity = check_integrity(connection, audit_key)
        found.lost = check_lost(connection, promised)
        rows = [dict(row) for row in connection.execute(select(attempts)).mappings()]
    found.repeated = check_effects(rows, seen)
    return found


def check_integrity(connection: Connection, audit_key: bytes) -> list[str]:
    """Check the database itself, and the chain of its events from the first to the last."""
    found = []
    if connection.dialect.name == "sqlite":
        verdicts = connection.execute(text("PRAGMA integrity_check")).scalars().all()
        found += [f"integrity_check: {verdict}" for verdict in verdicts if verdict != "ok"]
        orphans = connection.execute(text("PRAGMA foreign_key_check")).all()
        found += [f"foreign_key_check: {row}" for row in orphans]
    previous, number = "", 0
    for link in audit_chain.links(connection, after=0, limit=10**9):
        number += 1
        if link.seq != number:
            return [*found, f"chain: event {number} is missing"]
        if audit_chain.mac_of(audit_key, previous, number, link[1:-1]) != link.mac:
            return [*found, f"chain: event {number} does not follow from the one before it"]
        previous = link.mac
    head = connection.execute(select(chain)).mappings().one()
    if (head["seq"], head["mac"]) != (number, previous):
        found.append(f"chain: its head is at {head['seq']}, the last event is {number}")
    return found


def check_lost(connection: Connection, promised: Promised) -> list[str]:
    """Whatever was answered 200 is stored, and each of its alerts has an incident."""
    opened = {
        row.labels.get("episode") for row in connection.execute(select(incidents.c.labels)).all()
    }
    bodies = connection.execute(select(notifications.c.body)).scalars()
    kept = {msgspec.json.decode(body).get("groupKey") for body in bodies}
    return [
        *(
            f"alert {fingerprint} has no incident"
            for fingerprint in sorted(promised.alerts - opened)
        ),
        *(
            f"notification {notification_id} is not stored"
            for notification_id in sorted(promised.notifications - kept)
        ),
    ]


def check_effects(rows: Iterable[dict[str, Any]], seen: list[dict[str, Any]]) -> list[str]:
    """Hold what the executors saw against what the database says was attempted."""
    known = {row["id"]: row for row in rows}
    asked = Counter(line["attempt"] for line in seen if line["kind"] == "asked")
    done = [line for line in seen if line["kind"] == "done"]
    found = [f"attempt {key} is in no database" for key in asked if key not in known]
    for row in known.values():
        once = row["delivery"] == DeliverySemantics.ONE_SHOT.value
        if once and asked[row["id"]] > 1:
            found.append(f"one-shot {row['id']} was sent {asked[row['id']]} times")
    found += _doubled(done)
    for line in done:
        if line["attempt"] not in known or not line["one_shot"]:
            continue
        row = known[line["attempt"]]
        if row["state"] == AttemptState.ABANDONED.value:
            found.append(f"one-shot {row['id']} took effect and is called abandoned")
        if row["fence"] != line["fence"]:
            found.append(f"attempt {row['id']} has fence {row['fence']}, sent {line['fence']}")
    found += _fences_fall(done)
    return found


def _doubled(done: list[dict[str, Any]]) -> list[str]:
    """No runbook here has two one-shots, so no episode may have two such effects."""
    shots = Counter(line["episode"] for line in done if line["one_shot"] and line["episode"])
    twice = Counter(line["attempt"] for line in done)
    return [
        *(
            f"episode {episode} had {count} one-shots"
            for episode, count in shots.items()
            if count > 1
        ),
        *(
            f"attempt {attempt} took effect {count} times"
            for attempt, count in twice.items()
            if count > 1
        ),
    ]


def _fences_fall(done: list[dict[str, Any]]) -> list[str]:
    highest: dict[tuple[str, bool], int] = {}
    found = []
    for line in done:
        place = (line["bot"], line["one_shot"])
        if line.get("behind") or line["fence"] < highest.get(place, 0):
            found.append(f"attempt {line['attempt']} took effect behind a higher fence")
        highest[place] = max(line["fence"], highest.get(place, 0))
    return found


def unsettled(connection: Connection) -> list[str]:
    """Return every incident that is neither closed nor with a person, and what is half done."""
    open_ones = connection.execute(
        select(incidents.c.id, incidents.c.alert).where(
            incidents.c.closed_at.is_(None), incidents.c.escalated_at.is_(None)
        )
    ).all()
    running = connection.execute(
        select(attempts.c.id, attempts.c.state)
        .join(incidents, incidents.c.id == attempts.c.incident_id)
        .where(
            attempts.c.state.in_([state.value for state in RUNNING]),
            incidents.c.escalated_at.is_(None),
        )
    ).all()
    waiting = connection.execute(
        select(notifications.c.id).where(notifications.c.state == "pending")
    ).all()
    return [
        *(f"incident {row.id} ({row.alert}) is open" for row in open_ones),
        *(f"attempt {row.id} is {row.state}" for row in running),
        *(f"notification {row.id} was never taken apart" for row in waiting),
    ]


def timelines_of_open_incidents(connection: Connection) -> str:
    """Return everything that is known about open incidents, for debugging."""
    lines = []
    for incident in connection.execute(
        select(incidents).where(incidents.c.closed_at.is_(None))
    ).mappings():
        lines.append(f"incident {dict(incident)}")
        of_it = select(events).where(events.c.incident_id == incident["id"])
        for row in connection.execute(of_it.order_by(events.c.seq)).mappings():
            lines.append(f"  {row['at']} {row['kind']} {row['reason']} {row['note']}")
        tried = select(attempts).where(attempts.c.incident_id == incident["id"])
        lines += [f"  attempt {dict(row)}" for row in connection.execute(tried).mappings()]
    for table in (claims, replicas):
        lines += [f"{table.name} {row}" for row in connection.execute(select(table)).all()]
    return "\n".join(lines) + "\n"


def still_open(connection: Connection) -> list[str]:
    """Return every open incident."""
    rows = connection.execute(
        select(incidents.c.id, incidents.c.alert).where(incidents.c.closed_at.is_(None))
    ).all()
    return [f"incident {row.id} ({row.alert}) is open though nothing fires" for row in rows]
