"""A run from paper to live on a real database: 120 hours by a clock that is moved on."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection

from tests.builders import NOW, make_alert, make_attempt, make_target
from tests.databases import sqlite_only
from trading_ops.clients.http import Http
from trading_ops.clients.prometheus import Prometheus, Sample
from trading_ops.domain.attempt import AttemptState
from trading_ops.domain.decision import Close, Pause, Reason
from trading_ops.domain.hold import HeldState, Hold
from trading_ops.domain.maintenance import Maintenance
from trading_ops.domain.message import Message, MessageKind, Severity
from trading_ops.domain.readiness import CriterionResult as Found
from trading_ops.domain.readiness import (
    CriterionStatus,
    ReadinessRun,
    RunState,
    approve,
    refusal,
    with_checks,
)
from trading_ops.domain.target import Kind, Registry
from trading_ops.errors import Unreachable
from trading_ops.holds.holds import Placed
from trading_ops.holds.suppression import Suppression
from trading_ops.notify.announce import read_messages
from trading_ops.readiness.evaluate import Evaluator
from trading_ops.readiness.plan import load_plan
from trading_ops.reconciler.metrics import ReadinessMetrics
from trading_ops.store import attempts, events, holds, incidents, maintenance
from trading_ops.store import readiness as runs
from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.incidents import FiringAlert
from trading_ops.store.reader import Reader
from trading_ops.store.readiness import StoredRun
from trading_ops.store.writer import Writer

PLAN = load_plan(Path("none"))
HOUR = timedelta(hours=1)
DRILLED = PLAN.criteria(1)["drilled"].drilled
GOOD: Mapping[str, float] = {
    "process_resident_memory_bytes": 100e6,
    "trading_ops_backup_last": 3600,
    "trading_memory_leak_suspected": 0,
    "trading_orders_total": 1,
    "trading_market_data_timestamp_seconds": 1,
    "trading_venue_requests_total": 0,
    "trading_nonces_issued_total": 1,
    "trading_bot_start_timestamp_seconds": 1000,
    "trading_open_positions": 1,
    "trading_daily_loss": 0,
    "trading_drawdown": 0,
    "trading_exposure": 4,
    "up{": 1,
    "trading_realized_pnl": -1,
    "trading_position{": 1,
    "trading_bot_info": 1,
}


class History(Prometheus):
    """What Prometheus has stored, by the metric that a query reads."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        super().__init__(Http(session, "http://127.0.0.1:1"))
        self.values: dict[str, float | None] = dict(GOOD)
        self.down = False
        self.gaps: list[tuple[datetime, datetime]] = []
        self.asked: set[datetime] = set()
        self.expressions: list[str] = []

    async def query(
        self, expression: str, *, at: datetime | None = None, within: timedelta | None = None
    ) -> list[Sample]:
        assert at is not None
        assert "$" not in expression
        if self.down:
            raise Unreachable("connection refused")
        self.asked.add(at)
        self.expressions.append(expression)
        if any(begin < at <= end for begin, end in self.gaps):
            return []
        if "trading_bot_heartbeat" in expression:
            return [Sample(labels={}, value=1e9)]  # more than there is time
        value = next((v for key, v in self.values.items() if key in expression), None)
        return [] if value is None else [Sample(labels={}, value=value)]


class Holds:
    """Notes the holds that are placed, and stores them."""

    def __init__(self, scene: "Scene") -> None:
        self.scene = scene
        self.placed: list[tuple[str, str, str]] = []

    async def place(self, target: Any, state: str, *, key: str, owner: str, reason: str) -> Placed:
        self.placed.append((target.name, state, key))
        hold = Hold(
            id=key, target=target.name, state=HeldState(state), owner=owner, reason=reason,
            at=self.scene.now,
        )  # fmt: skip
        await self.scene.write(partial(holds.place, hold=hold, now=self.scene.now))
        return Placed(id=key, stored=True, acknowledged=True, detail="")


@contextmanager
def opened(url: str) -> Iterator[tuple[Writer, Reader]]:
    writer, reader = Writer(writing_engine(url)), Reader(reading_engine(url))
    writer.start()
    try:
        yield writer, reader
    finally:
        writer.stop()
        reader.close()


class Scene:
    """A reconciler that can be restarted, and a clock that is moved on."""

    def __init__(self, url: str, history: History) -> None:
        self.url, self.history = url, history
        self.now, self.holds = NOW, Holds(self)
        self.registry = Registry((make_target(name="alpha", kind=Kind.BOT),))
        self.metrics = ReadinessMetrics(CollectorRegistry())

    async def evaluate(self, *, after: timedelta, observe_only: bool = False) -> StoredRun:
        """Start a reconciler again, evaluate up to a later moment, and stop it again."""
        self.now += after
        with opened(self.url) as (writer, reader):
            evaluator = self.evaluator(writer, reader, observe_only=observe_only)
            before = None
            while (found := await reader.read(partial(runs.find, bot="alpha"))) != before:
                before = found
                await evaluator.evaluate()
        assert found is not None
        return found

    def evaluator(self, writer: Writer, reader: Reader, *, observe_only: bool = False) -> Evaluator:
        return Evaluator(
            reader=reader,
            writer=writer,
            prometheus=self.history,
            registry=self.registry,
            holding=self.holds,  # type: ignore[arg-type]  # only `place` is used
            suppression=Suppression(reader=reader, observe_only=observe_only, now=lambda: self.now),
            metrics=self.metrics,
            now=lambda: self.now,
            longest_slot=HOUR,
        )

    async def write(self, work: Any) -> Any:
        with opened(self.url) as (writer, _):
            return await writer.run(work)

    async def begin(
        self,
        stage: int = 0,
        *,
        credited: timedelta = timedelta(0),
        drilled: Collection[str] = DRILLED,
    ) -> None:
        """Start a run at a stage, with all before it passed."""
        run = ReadinessRun(
            id="run-1",
            bot="alpha",
            begun_at=self.now,
            entered_at=self.now,
            evaluated_until=self.now,
            stage=stage,
            credited=credited,
            passed=frozenset(PLAN.criteria(stage)),
        )
        checks = {
            name: Found(status=CriterionStatus.PASSED, evidence="run", at=self.now, value=0.0)
            for name, criterion in PLAN.criteria(stage).items()
            if criterion.is_run_by_command
        }
        run = with_checks(run, checks)
        await self.write(partial(runs.begin, run=run, plan=PLAN, actor="ada"))
        await self.write(self._record_drills)
        for alert in drilled:
            await self.drill(alert)

    async def drill(
        self, alert: str, *, reason: Reason = Reason.RESOLVED, opened_at: datetime = NOW - HOUR
    ) -> None:
        """Store an incident of the bot that was closed after a minute."""
        labels = {"alertname": alert, "bot": "alpha"}
        fired = FiringAlert(alert=make_alert(labels=labels), target="alpha")

        def store(connection: Connection) -> None:
            incidents.open_all(
                connection, [fired], received_at=opened_at, now=opened_at, source="test"
            )
            (opened,) = incidents.open_summaries(connection)
            done = Close(reason=reason, note="")
            incidents.close(connection, opened.id, done, now=opened_at + timedelta(minutes=1))

        await self.write(store)

    def _record_drills(self, connection: Connection) -> None:
        for fence, action in enumerate(("halt_trading", "reconnect_broker", "restart_bot")):
            begun = make_attempt(
                id=f"attempt-{action}",
                incident_id=None,
                action=action,
                fence=fence,
                state=AttemptState.SUCCEEDED,
                started_at=NOW - HOUR,
            )
            attempts.add(connection, begun)
            attempts.finish(
                connection,
                begun,
                AttemptState.VERIFIED,
                detail="",
                now=NOW - HOUR,
                only_from=(AttemptState.SUCCEEDED,),
            )


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    async with aiohttp.ClientSession() as session:
        yield Scene(database_url, History(session))


@sqlite_only
async def test_120_hours_with_restarts_of_everything(scene: Scene) -> None:
    """The reconciler restarts every hour, the bot as ordered, and Prometheus loses an hour."""
    await scene.begin()
    run = (await scene.evaluate(after=timedelta(seconds=15))).run
    assert run.stage == 1  # validation is passed; paper starts
    began = scene.now
    scene.history.gaps = [(began + 30 * HOUR, began + 31 * HOUR)]
    for hour in range(1, 122):
        if hour == 50:  # Prometheus is away; it scraped all the same, and is asked later
            scene.history.down = True
        if hour == 52:
            scene.history.down = False
        if hour == 60:
            window = Maintenance(
                target="alpha", owner="ada", reason="new", begins_at=scene.now,
                ends_at=scene.now + HOUR,
            )  # fmt: skip
            await scene.write(partial(maintenance.begin, window=window, now=scene.now))
            scene.history.values["trading_bot_start_timestamp_seconds"] = 2000
        run = (await scene.evaluate(after=HOUR)).run
        assert run.credited <= scene.now - began
    # 121 hours have passed, of which one has no samples.
    assert (run.stage, run.credited, run.breaches) == (3, 120 * HOUR, 0)
    assert run.ready
    assert scene.metrics.credited.labels("alpha")._value.get() == 120 * 3600
    assert refusal(PLAN, run, scene.now) == ""
    assert scene.holds.placed == []


STATES: Mapping[str, AttemptState] = {
    "by a failed attempt": AttemptState.FAILED,
    "by an abandoned attempt": AttemptState.ABANDONED,
}
"""Of attempts that did not restart the bot."""


@sqlite_only
@pytest.mark.parametrize(
    "explained",
    ["by nothing", "by a crash", "by a failed attempt", "by an abandoned attempt", "by an attempt"],
)
async def test_a_restart_is_explained_or_starts_the_hours_again(
    scene: Scene, explained: str
) -> None:
    await scene.begin(stage=1)
    assert (await scene.evaluate(after=HOUR)).run.credited == HOUR
    scene.history.values["trading_bot_start_timestamp_seconds"] = 2000
    if explained != "by nothing":
        runbook = "TradingBotDown" if explained == "by a crash" else "by-hand"
        ordered = make_attempt(
            id="attempt-2", incident_id=None, action="restart_bot", runbook=runbook,
            state=STATES.get(explained, AttemptState.VERIFIED), fence=9,
            started_at=scene.now + timedelta(seconds=30),
        )  # fmt: skip
        await scene.write(partial(attempts.add, attempt=ordered))
    run = (await scene.evaluate(after=timedelta(minutes=5))).run
    kept = explained == "by an attempt"
    assert (run.breaches, run.credited > HOUR) == ((0, True) if kept else (1, False))
    assert "restarts" in run.reason or kept


async def test_a_breach_in_a_live_stage_reduces_once_and_waits(scene: Scene) -> None:
    """Also when the reconciler dies between the hold and the record: the hold is the same one."""
    live = next(at for at, stage in enumerate(PLAN.stages) if stage.name == "seven-dollars")
    await scene.begin(stage=live)
    assert (await scene.evaluate(after=HOUR)).run.credited == HOUR
    scene.history.values["trading_exposure"] = 8
    stored = await scene.evaluate(after=timedelta(minutes=2))
    assert stored.run.state is RunState.HELD
    assert PLAN.stages[stored.run.stage].name == "five-dollars"
    assert set(scene.holds.placed) == {("alpha", "reducing", "readiness-run-1-1")}
    scene.history.values["trading_exposure"] = 1
    stored = await scene.evaluate(after=timedelta(minutes=2))
    assert (stored.run.state, stored.run.credited) == (RunState.HELD, timedelta(0))
    again = approve(stored.plan, stored.run, scene.now)
    assert await scene.write(
        partial(runs.save, stored=stored, run=again, changes=(), now=scene.now)
    )
    stored = await scene.evaluate(after=timedelta(minutes=2))
    assert stored.run.state is RunState.RUNNING
    assert stored.run.credited == timedelta(minutes=2)
    assert len(scene.holds.placed) == 1


PAPER_BREACHES: Mapping[str, tuple[str, float]] = {
    "mode": ("trading_bot_info", 0),
    "restarts": ("trading_bot_start_timestamp_seconds", 2000),
    "memory": ("process_resident_memory_bytes", 501e6),
    "memory-flat": ("trading_memory_leak_suspected", 1),
    "orders": ("trading_orders_total", 0.95),
    "feed": ("trading_market_data_timestamp_seconds", 0.98),
    "call-errors": ("trading_venue_requests_total", 0.002),
    "nonces": ("trading_nonces_issued_total", 0.998),
    "availability": ("up{", 0.98),
}
LIVE_BREACHES: Mapping[str, tuple[str, float]] = {
    **PAPER_BREACHES,
    "positions": ("trading_open_positions", 4),
    "daily-loss": ("trading_daily_loss", 21),
    "total-loss": ("trading_drawdown", 31),
    "exposure": ("trading_exposure", 15),
    "pairs": ("trading_position{", 3),
}
OPERATOR_RUN = {"actions", "drilled", "restore-tested"}
"""A missing drill or restore test is unknown or belongs to the installation, not to the bot."""


def test_every_measured_criterion_has_a_breach() -> None:
    own = {
        name
        for name, criterion in PLAN.criteria(len(PLAN.stages) - 1).items()
        if not criterion.is_run_by_command and name not in OPERATOR_RUN
    }
    assert own - {"halt-tested"} == set(LIVE_BREACHES)


@sqlite_only
@pytest.mark.parametrize("name", PAPER_BREACHES)
async def test_every_breach_on_paper_starts_the_hours_again(scene: Scene, name: str) -> None:
    await scene.begin(stage=3)
    assert (await scene.evaluate(after=HOUR)).run.credited == HOUR
    metric, value = PAPER_BREACHES[name]
    scene.history.values[metric] = value
    run = (await scene.evaluate(after=timedelta(minutes=2))).run
    assert (PLAN.stages[run.stage].name, run.credited) == ("24h", timedelta(0))
    assert name in run.reason
    assert scene.holds.placed == []


@sqlite_only
async def test_a_strategy_without_profit_waits_and_keeps_its_hours(scene: Scene) -> None:
    await scene.begin(stage=3, credited=119 * HOUR)
    scene.history.values["trading_realized_pnl"] = 0  # the loss, which must be negative
    for _ in range(2):
        run = (await scene.evaluate(after=HOUR)).run
    assert (run.credited, run.breaches, run.ready) == (121 * HOUR, 0, False)
    assert "total-loss" in refusal(PLAN, run, scene.now)
    scene.history.values["trading_realized_pnl"] = -0.01
    assert (await scene.evaluate(after=HOUR)).run.ready


async def test_every_safety_system_needs_its_own_drill(scene: Scene) -> None:
    """Neither an older one, nor one that an operator closed, nor that of another alert counts."""
    missing = "TradingBotPositionDrift"
    await scene.begin(stage=1, drilled=set(DRILLED) - {missing})
    await scene.drill(missing, reason=Reason.RESOLVED_BY_OPERATOR)
    await scene.drill(missing, opened_at=NOW - timedelta(days=30, minutes=1))
    run = (await scene.evaluate(after=HOUR)).run
    found = run.results["drilled"]
    assert (found.status, run.credited) == (CriterionStatus.UNKNOWN, timedelta(0))
    assert found.evidence.endswith(f": {missing}")
    await scene.drill(missing, reason=Reason.RECOVERED)
    run = (await scene.evaluate(after=HOUR)).run
    assert (run.results["drilled"].status, run.credited) == (CriterionStatus.PASSED, HOUR)
    assert all(alert in run.results["drilled"].evidence for alert in DRILLED)


def due_of(scene: Scene) -> list[float]:
    return [sample.value for of in scene.metrics.sign_off_due.collect() for sample in of.samples]


@sqlite_only
async def test_the_deadline_of_a_sign_off_is_shown_until_it_is_given_or_the_run_is_held(
    scene: Scene,
) -> None:
    """A held run is reduce-only already, and its hours do not count."""
    await scene.begin(stage=len(PLAN.stages) - 1)
    deadline = scene.now + 4 * HOUR
    await scene.evaluate(after=5 * HOUR)
    assert due_of(scene) == [deadline.timestamp()]
    scene.history.values["trading_daily_loss"] = 21
    await scene.evaluate(after=timedelta(minutes=2))
    assert due_of(scene) == []


async def announced(scene: Scene, since: int) -> list[Message]:
    """Return the messages about the events after a position."""
    _, found = await scene.write(partial(read_messages, was=since, now=scene.now))
    return list(found)


@sqlite_only
async def test_a_passed_stage_a_restart_of_the_hours_and_a_step_back_are_announced(
    scene: Scene,
) -> None:
    await scene.begin(stage=1, credited=23 * HOUR)
    since = await scene.write(events.head)
    await scene.evaluate(after=HOUR)
    scene.history.values["trading_orders_total"] = 0.9
    await scene.evaluate(after=timedelta(minutes=2))
    passed, restarted = await announced(scene, since)
    assert {message.kind for message in (passed, restarted)} == {MessageKind.READINESS}
    assert (passed.bot, passed.severity) == ("alpha", Severity.INFO)
    assert (restarted.bot, restarted.severity) == ("alpha", Severity.WARNING)
    assert "paper/24h" in passed.subject
    assert "orders: 0.9" in restarted.subject


@sqlite_only
async def test_a_step_back_of_a_live_stage_is_announced_as_critical(scene: Scene) -> None:
    await scene.begin(stage=len(PLAN.stages) - 1)
    since = await scene.write(events.head)
    scene.history.values["trading_daily_loss"] = 21
    await scene.evaluate(after=timedelta(minutes=2))
    found = await announced(scene, since)
    (message,) = [message for message in found if message.kind is MessageKind.READINESS]
    assert (message.bot, message.severity) == ("alpha", Severity.CRITICAL)
    assert "daily-loss: 21" in message.subject


@sqlite_only
async def test_a_query_over_the_run_reads_at_most_seven_days(scene: Scene) -> None:
    await scene.begin(stage=3)
    for after in (HOUR, timedelta(days=8)):
        await scene.evaluate(after=after)
    ranges = [ask for ask in scene.history.expressions if "up{" in ask]
    assert ("[3600s:" in ranges[0], "[604800s:" in ranges[-1]) == (True, True)


@sqlite_only
@pytest.mark.parametrize("name", LIVE_BREACHES)
async def test_every_breach_in_a_live_stage_steps_back(scene: Scene, name: str) -> None:
    await scene.begin(stage=len(PLAN.stages) - 1)
    assert (await scene.evaluate(after=HOUR)).run.credited == HOUR
    metric, value = LIVE_BREACHES[name]
    scene.history.values[metric] = value
    run = (await scene.evaluate(after=timedelta(minutes=2))).run
    assert (run.state, PLAN.stages[run.stage].name) == (RunState.HELD, "seven-dollars")
    assert name in run.reason
    assert [(bot, state) for bot, state, _ in scene.holds.placed] == [("alpha", "reducing")]


@sqlite_only
async def test_an_observe_only_installation_places_no_hold(scene: Scene) -> None:
    await scene.begin(stage=len(PLAN.stages) - 1)
    scene.history.values["trading_daily_loss"] = 21
    stored = await scene.evaluate(after=timedelta(minutes=2), observe_only=True)
    assert stored.run.state is RunState.HELD
    assert scene.holds.placed == []


@pytest.mark.parametrize("by", ["pause", "window"])
async def test_a_breach_that_was_suppressed_reduces_once_afterwards(scene: Scene, by: str) -> None:
    """And never again after an operator released the hold."""
    far = scene.now + timedelta(days=1)
    window = Maintenance(
        target="alpha", owner="ada", reason="go live", begins_at=scene.now, ends_at=far
    )
    pause = Pause(owner="ada", reason="go live", expires_at=far)
    await scene.begin(stage=len(PLAN.stages) - 1)
    if by == "pause":
        await scene.write(partial(maintenance.begin_pause, pause=pause, now=scene.now))
    else:
        window = await scene.write(partial(maintenance.begin, window=window, now=scene.now))
    scene.history.values["trading_daily_loss"] = 21
    stored = await scene.evaluate(after=timedelta(minutes=2))
    assert stored.run.state is RunState.HELD
    await scene.evaluate(after=timedelta(minutes=2))
    assert scene.holds.placed == []

    if by == "pause":
        await scene.write(partial(maintenance.end_pause, owner="ada", now=scene.now))
    else:
        await scene.write(partial(maintenance.end, key=window.id, owner="ada", now=scene.now))
    scene.history.down = True  # the hold does not wait for Prometheus
    await scene.evaluate(after=timedelta(minutes=2))
    await scene.evaluate(after=timedelta(minutes=2))
    assert scene.holds.placed == [("alpha", "reducing", stored.run.hold_key)]

    release = partial(holds.release, ids=[stored.run.hold_key], owner="ada", reason="looked at it")
    await scene.write(partial(release, now=scene.now))
    scene.history.down = False
    await scene.evaluate(after=timedelta(minutes=2))
    assert len(scene.holds.placed) == 1


@sqlite_only
async def test_bots_without_a_run_cost_nothing_after_the_first_evaluation(scene: Scene) -> None:
    """With 1,000 bots, making their metrics again each time stopped the loop for 40 ms."""

    def shown() -> list[float]:
        families = scene.metrics.stage.collect()
        return [sample.value for family in families for sample in family.samples]

    with opened(scene.url) as (writer, reader):
        evaluator = scene.evaluator(writer, reader)
        await evaluator.evaluate()
        stage = scene.metrics.stage.labels("alpha")
        await evaluator.evaluate()
        assert scene.metrics.stage.labels("alpha") is stage
    await scene.begin(stage=1)
    with opened(scene.url) as (writer, reader):
        evaluator = scene.evaluator(writer, reader)
        await evaluator.evaluate()
        assert shown() == [2]
        (stored,) = await reader.read(runs.open_runs)
        ended = replace(stored.run, state=RunState.ABORTED)
        await writer.run(partial(runs.save, stored=stored, run=ended, changes=(), now=scene.now))
        await evaluator.evaluate()
        assert shown() == [0]


async def test_a_missing_metric_is_named(scene: Scene) -> None:
    """Such as the nonces of a Freqtrade."""
    await scene.begin(stage=1)
    scene.history.values["trading_nonces_issued_total"] = None
    run = (await scene.evaluate(after=HOUR)).run
    assert run.credited == timedelta(0)
    found = run.results["nonces"]
    assert found.status is CriterionStatus.UNKNOWN
    assert "trading_nonces_issued_total" in found.evidence


async def test_two_replicas_count_an_hour_once(scene: Scene) -> None:
    await scene.begin(stage=1)
    scene.now += HOUR
    await asyncio.gather(scene.evaluate(after=timedelta(0)), _later(scene))
    run = (await scene.evaluate(after=timedelta(0))).run
    assert run.credited == HOUR


async def _later(scene: Scene) -> None:
    with opened(scene.url) as (writer, reader):
        stored = await reader.read(partial(runs.find, bot="alpha"))
        assert stored is not None
        other = partial(runs.save, stored=stored, run=stored.run, changes=(), now=scene.now)
        await writer.run(other)
        assert not await writer.run(other)
