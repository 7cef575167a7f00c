"""Retention: what is over and old goes, the rest stays, and the audit is still proven."""

import asyncio
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, func, insert, select

from tests.builders import NOW, make_alert, make_wanted
from tests.databases import sqlite_only
from tests.open_incidents import open_incidents
from tests.store.conftest import DAY, KEY, Make
from trading_ops.audit.report import AnchorBook, ChainVerdict, unproven, verify
from trading_ops.domain.acknowledgement import AcknowledgementKind
from trading_ops.domain.approval import ApprovalState
from trading_ops.domain.attempt import AttemptState
from trading_ops.domain.decision import Close, GlobalLimits, Pause, Reason
from trading_ops.domain.hold import HeldState, Hold
from trading_ops.domain.incident import Incident
from trading_ops.domain.maintenance import Maintenance
from trading_ops.domain.readiness import ReadinessRun
from trading_ops.store import (
    acknowledgements,
    approvals,
    attempts,
    events,
    holds,
    incidents,
    maintenance,
    notifications,
    tables,
)
from trading_ops.store.reader import open_reader
from trading_ops.store.writer import Writer, transaction

pytestmark = pytest.mark.processes

OLD = NOW - 40 * DAY
YOUNG = NOW - 20 * DAY
COUNTED = (
    tables.notifications,
    tables.incidents,
    tables.attempts,
    tables.acknowledgements,
    tables.approvals,
    tables.holds,
    tables.pauses,
    tables.maintenance,
)


def incident(connection: Connection, at: datetime, name: str = "", *, closed: bool = True) -> str:
    """Open an incident that is attempted and acknowledged; close it a minute later."""
    alert = make_alert(labels=dict(make_alert().labels) | {"symbol": name or at.isoformat()})
    sighting = incidents.FiringAlert(alert=alert, target="alpha")
    incidents.open_all(connection, [sighting], received_at=at, now=at, source="test")
    (found,) = [opened for opened in open_incidents(connection) if opened.labels == alert.labels]
    attempt = attempts.start(connection, plan(found, at), now=at)
    assert attempt is not None
    verified = AttemptState.VERIFIED
    only = (AttemptState.STARTED,)
    assert attempts.finish(connection, attempt, verified, detail="", now=at, only_from=only)
    attempts.reset_budget(connection, "alpha", owner="ann", reason="next", now=at)
    acknowledgements.begin(
        connection,
        incident_id=found.id,
        kind=AcknowledgementKind.ACKNOWLEDGE,
        owner="ann",
        note="",
        until=at + timedelta(hours=1),
        now=at,
    )
    if closed:
        end = at + timedelta(minutes=1)
        acknowledgements.end(connection, found.id, owner="ann", kind="withdrawn", now=end)
        assert incidents.close(connection, found.id, Close(reason=Reason.RESOLVED), now=end)
    return found.id


def plan(found: Incident, at: datetime) -> attempts.StartRequest:
    limits = GlobalLimits(attempts=1_000_000)
    return attempts.StartRequest(gate_input=make_wanted(found, limits=limits, now=at))


def hold(connection: Connection, at: datetime, *, released: bool = True, key: str = "") -> None:
    key = key or f"hold-{at.isoformat()}-{released}"
    placed = Hold(id=key, target="beta", state=HeldState.HALTED, owner="ann", reason="test", at=at)
    assert holds.place(connection, placed, now=at)
    if released:
        holds.release(connection, ids=[key], owner="ann", reason="over", now=at)


def orders(connection: Connection, at: datetime) -> None:
    """Give one order of each kind, all over soon afterwards."""
    soon = at + timedelta(hours=1)
    hold(connection, at)
    maintenance.begin_pause(connection, Pause(owner="ann", reason="test", expires_at=soon), now=at)
    window = Maintenance(target="beta", owner="ann", reason="test", begins_at=at, ends_at=soon)
    maintenance.begin(connection, window, now=at)
    ask(connection, at, target=f"target of {at}")
    attempt = insert(tables.attempts).values(
        id=f"by hand at {at}",
        runbook="",
        target="beta",
        action="restart_bot",
        step=0,
        delivery="one_shot",
        fence=0,
        state="verified",
        requested_by="ann",
        started_at=at,
    )
    connection.execute(attempt)
    key = notifications.add(connection, received_at=at, body=b"x")
    notifications.finish(connection, key, notifications.NotificationState.QUARANTINED)


def ask(connection: Connection, at: datetime, target: str = "beta") -> None:
    approvals.request(
        connection,
        incident_id=None,
        action="restart_bot",
        target=target,
        params={},
        step=None,
        requested_by="ann",
        now=at,
    )


def counts(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in COUNTED
        ]


async def verified(url: str, *folders: Path) -> ChainVerdict:
    with open_reader(url) as reader:
        return await verify(reader, [KEY], AnchorBook(), archives=folders)


def bot_event(bot: str, number: int) -> dict[str, object]:
    at = YOUNG + timedelta(seconds=number)
    fields = dict.fromkeys(("strategy", "symbol", "order_id", "correlation", "summary"), "")
    row = fields | {"id": f"{bot} {number}", "bot": bot, "event": str(number), "kind": "signal"}
    return row | {"severity": "info", "at": at, "received_at": at, "data": {}}


async def test_what_is_over_and_old_goes(url: str, engine: Engine, retention: Make) -> None:
    """Of each kind the old one goes and the young one stays, and the audit is still proven."""
    for at in (OLD, YOUNG):
        with transaction(engine, KEY) as connection:
            incident(connection, at)
            orders(connection, at)
    before = counts(engine)
    await retention().run_once()
    assert [2 * left for left in counts(engine)] == before
    verdict = await verified(url)
    assert (verdict.problem, unproven(verdict)) == (None, [])
    assert verdict.removed > 0
    with engine.connect() as connection:
        first = select(func.min(tables.events.c.at))
        assert connection.execute(first).scalar_one() == YOUNG
    await retention().run_once()
    assert [2 * left for left in counts(engine)] == before, "there was nothing more to remove"


@pytest.mark.parametrize("what", ["incident", "hold", "silence", "attempt"])
async def test_what_is_under_way_stays(
    url: str, engine: Engine, retention: Make, what: str
) -> None:
    """However old: an open incident, a active hold, a running attempt, a silence that is left.

    An open incident and a active hold also keep everything that came after them.
    """
    with transaction(engine, KEY) as connection:
        if what == "hold":
            hold(connection, OLD, released=False)
        key = incident(connection, OLD, closed=what != "incident")
        if what == "silence":
            (acknowledgement,) = acknowledgements.of_incident(connection, key)
            acknowledgements.note_silence(
                connection, acknowledgement, silence_id="one", until=NOW, now=OLD
            )
        if what == "attempt":
            (attempt,) = attempts.of_incident(connection, key)
            running = tables.attempts.update().where(tables.attempts.c.id == attempt.id)
            connection.execute(running.values(state="unknown"))
    before = counts(engine)
    await retention().run_once()
    assert counts(engine) == before
    with engine.connect() as connection:
        oldest = connection.execute(select(func.min(tables.events.c.seq))).scalar_one()
    assert (oldest == 1) is (what in {"incident", "hold"})
    assert (await verified(url)).problem is None


@pytest.mark.parametrize("ended", [False, True])
async def test_the_hold_of_an_open_readiness_run_stays(
    engine: Engine, retention: Make, *, ended: bool
) -> None:
    """The reconciler places the hold of a held run that was never placed, and no other."""
    run = ReadinessRun(
        id="one", bot="beta", begun_at=OLD, entered_at=OLD, evaluated_until=OLD, breaches=1
    )
    row = insert(tables.readiness_runs).values(
        id=run.id, bot=run.bot, plan={}, state={}, version=1, begun_at=OLD,
        ended_at=OLD if ended else None,
    )  # fmt: skip
    with transaction(engine, KEY) as connection:
        connection.execute(row)
        hold(connection, OLD, key=run.hold_key)
        hold(connection, OLD)
    await retention().run_once()
    with engine.connect() as connection:
        left = connection.execute(select(tables.holds.c.id)).scalars().all()
    assert left == ([] if ended else [run.hold_key])


async def test_the_same_can_be_approved_again(engine: Engine, retention: Make) -> None:
    """The id of a request is made from how many there were: a part of them must not go alone."""
    for at in (OLD, OLD + DAY, YOUNG):
        with transaction(engine, KEY) as connection:
            ask(connection, at)
    await retention().run_once()
    with transaction(engine, KEY) as connection:
        ask(connection, NOW)
        waiting = approvals.search(connection, state=ApprovalState.PENDING)
        assert [approval.requested_at for approval in waiting] == [NOW]


async def test_each_bot_keeps_its_newest_events(engine: Engine, retention: Make) -> None:
    """A bot with many events loses its oldest ones; the events of others stay."""
    with transaction(engine, KEY) as connection:
        for bot, count in (("alpha", 600), ("beta", 2)):
            rows = [bot_event(bot, number) for number in range(count)]
            connection.execute(insert(tables.bot_events), rows)
    await retention().run_once()
    columns = tables.bot_events.c
    with engine.connect() as connection:
        found = connection.execute(select(columns.bot, columns.event))
        left = sorted((bot, event) for bot, event in found)
    newest = [("alpha", str(number)) for number in (597, 598, 599)]
    assert left == [*newest, ("beta", "0"), ("beta", "1")]


async def test_a_clock_that_was_set_forward_removes_nothing(
    engine: Engine, retention: Make
) -> None:
    """By years, everything is old: then retention waits for the restart."""
    with transaction(engine, KEY) as connection:
        incident(connection, YOUNG)
        orders(connection, YOUNG)
    before, moments = counts(engine), [NOW]
    pruning = replace(retention(), now=lambda: moments[-1])
    moments.append(NOW + 365 * DAY)
    await pruning.run_once()
    assert counts(engine) == before


async def test_others_are_served_between_two_batches(
    engine: Engine, writer: Writer, retention: Make
) -> None:
    """What is asked for meanwhile is answered before everything is removed."""
    with transaction(engine, KEY) as connection:
        for number in range(4_000):
            events.add(connection, at=OLD, kind="opened", note=f"number {number}")
    removing = asyncio.create_task(retention().run_once())
    heads = []
    while not removing.done():
        heads.append(await writer.run(_oldest))
    await removing
    assert len({head for head in heads if head > 1}) >= 3, "in steps, with answers in between"


def _oldest(connection: Connection) -> int:
    return int(connection.execute(select(func.min(tables.events.c.seq))).scalar_one())


@sqlite_only
async def test_the_space_is_used_again(engine: Engine, retention: Make) -> None:
    """The file does not grow when each month writes as much as retention removes."""
    sizes = []
    for month in range(4):
        at = NOW + month * 31 * DAY
        with transaction(engine, KEY) as connection:
            for number in range(10):
                incident(connection, at, str(number))
            for _ in range(700):
                events.add(connection, at=at, kind="opened", note="x" * 200)
                key = notifications.add(connection, received_at=at, body=b"x" * 500)
                notifications.finish(connection, key, notifications.NotificationState.PARSED)
        await retention(at + 1 * DAY).run_once()
        with engine.connect() as connection:
            sizes.append(connection.exec_driver_sql("PRAGMA page_count").scalar_one())
    assert sizes[-1] <= 1.1 * sizes[1]


LIFE = """
import asyncio, os, signal, sys
from datetime import datetime, timedelta
from trading_ops.store import failpoints
from pathlib import Path
from trading_ops.reconciler.retention import Retention
from trading_ops.store.archive import Archive
from trading_ops.store.engine import writing_engine
from trading_ops.store.reader import open_reader
from trading_ops.store.writer import Writer

url, now, left = sys.argv[1], datetime.fromisoformat(sys.argv[2]), int(sys.argv[3])
archive = Archive(folder=Path(sys.argv[4]), keys=[b""])
place = ("commit_before", "commit_after")[left // 2 % 2]

def die(reached):
    global left
    left -= reached == place
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

names = ("notifications_kept", "incidents_kept", "messages_kept", "bot_events_kept", "events_kept")
kept = dict.fromkeys(names, timedelta(days=30)) | {"bot_events_kept_rows": 1_000}
writer = Writer(writing_engine(url))
writer.start()
failpoints.watch(die)
with open_reader(url) as reader:
    ours = {"writer": writer, "reader": reader, "archive": archive}
    retention = Retention(now=lambda: now, pause_seconds=0.0, **ours, **kept)
    asyncio.run(retention.run_once())
writer.stop()
"""


async def test_killed_at_any_commit_the_audit_is_clean(
    url: str, engine: Engine, folder: Path
) -> None:
    """Each life is killed later than the one before; the last one comes to its end."""
    for at in (OLD, YOUNG):
        with transaction(engine, KEY) as connection:
            incident(connection, at)
            orders(connection, at)
        # In several transactions: PostgreSQL ends one that is idle for 10 s, as under load.
        for first in range(0, 1_200, 100):
            with transaction(engine, KEY) as connection:
                for number in range(first, first + 100):
                    events.add(connection, at=at, kind="opened", note=f"number {number}")
    before = counts(engine)
    kills = 0
    for nth in range(1, 20, 2):
        life = [sys.executable, "-c", LIFE, url, NOW.isoformat(), str(nth), str(folder)]
        ended = await asyncio.to_thread(subprocess.run, life, check=False, timeout=120)
        verdict = await verified(url, folder)
        assert (verdict.problem, unproven(verdict)) == (None, [])
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL
        kills += 1
    assert kills >= 2
    assert [2 * left for left in counts(engine)] == before
