"""A drill: break the running stack, follow the real pipeline, and say how long each stage took.

Nothing is simulated and nothing is told to the reconciler: the fault goes in at one end, and what
the reconciler stored about its incident comes out at the other.
"""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from trading_ops import clock
from trading_ops.clients.reconciler_views import IncidentView, StoryView
from trading_ops.domain.runbook import Drill, Runbook, fill_query
from trading_ops.domain.target import Target
from trading_ops.errors import ClientError, StackError
from trading_ops.stack.calm import OWNER, TICK_SECONDS, Say, wait_until_calm
from trading_ops.stack.faults import FAULTS, Fault
from trading_ops.stack.scene import Scene
from trading_ops.stack.timeline import Mark, marks

HEAL_AFTER_PAUSE = timedelta(seconds=90)


@dataclass(frozen=True, kw_only=True)
class DrillResult:
    """How one drill ended."""

    alert: str
    target: str
    fault: str
    paused: bool
    passed: bool
    problem: str = ""
    """Why it did not pass."""

    limit_seconds: float
    total_seconds: float | None = None
    """From the injection to the end of the incident; None when it did not end in time."""

    incident: str = ""
    witness: str = ""
    reasons: list[str] = field(default_factory=list)
    """Stored reasons why nothing was done; only with automation paused."""

    timeline: list[Mark] = field(default_factory=list)


@dataclass(kw_only=True)
class _Run:
    """One drill under way."""

    scene: Scene
    runbook: Runbook
    drill: Drill
    fault: Fault
    bot: Target
    say: Say
    injected: datetime = field(default_factory=clock.now)
    detected: datetime | None = None
    story: StoryView | None = None
    said: set[Mark] = field(default_factory=set)
    paused_by: int | None = None

    def result(self, *, paused: bool, passed: bool, problem: str = "") -> DrillResult:
        """Return the drill's result with what was seen so far."""
        closed = self.story.incident.closed_at if self.story else None
        return DrillResult(
            alert=self.runbook.alert,
            target=self.bot.name,
            fault=self.drill.fault,
            paused=paused,
            passed=passed,
            problem=problem,
            limit_seconds=self.drill.recover_within.total_seconds(),
            total_seconds=(closed - self.injected).total_seconds() if closed else None,
            incident=self.story.incident.id if self.story else "",
            timeline=self.marks(),
        )

    def marks(self) -> list[Mark]:
        """Return the timeline so far."""
        if self.story is None:
            return [Mark(stage="injected", seconds=0.0)]
        return marks(self.injected, self.detected, self.story)

    async def pause(self) -> None:
        """Pause automation for the length of the drill."""
        seconds = (self.drill.recover_within + HEAL_AFTER_PAUSE).total_seconds()
        reason = f"drill {self.runbook.alert}"
        self.paused_by = await self.scene.reconciler.pause(
            owner=OWNER, reason=reason, seconds=seconds
        )

    async def resume(self) -> None:
        """Lift the drill's own pause; a person's stays."""
        if self.paused_by is not None:
            await self.scene.reconciler.resume(owner=OWNER, only=self.paused_by)
            self.paused_by = None
            seconds = (clock.now() - self.injected).total_seconds()
            self.say(Mark(stage="resumed", seconds=seconds, note="automation may mend it now"))

    async def follow(self) -> None:
        """Look once at Prometheus and at the incident, and say what is new."""
        try:
            if self.detected is None:
                await self._look_for_detection()
            if self.story is None or self.story.incident.closed_at is None:
                await self._read_story()
        except ClientError:
            return  # a drill may kill what it asks; the deadline decides
        for mark in self.marks():
            if mark not in self.said:
                self.said.add(mark)
                self.say(mark)

    async def _look_for_detection(self) -> None:
        view = await self.scene.prometheus.view()
        for alert in view.alerts.values():
            concerns = alert.labels.get(self.runbook.target_label) == self.bot.name
            if alert.name == self.runbook.alert and concerns and alert.active_at >= self.injected:
                self.detected = alert.active_at

    async def _read_story(self) -> None:
        incident = self.story.incident if self.story else await self._find_incident()
        if incident is not None:
            self.story = await self.scene.reconciler.story(incident.id)

    async def _find_incident(self) -> IncidentView | None:
        found = await self.scene.reconciler.incidents(
            alertname=self.runbook.alert,
            target=self.bot.name,
            since=str(self.injected.timestamp()),
        )
        return found[-1] if found else None


async def run_drill(
    scene: Scene, alert: str, *, bot_name: str | None, paused: bool, say: Say
) -> DrillResult:
    """Run one drill to its end and clean up behind it.

    Args:
        scene: the running stack.
        alert: whose runbook's drill to run.
        bot_name: the bot to break; the first one by default.
        paused: automation is paused, and the drill passes only if nothing recovers.
        say: hears of each stage as it is reached.

    Raises:
        StackError: the alert has no drill, or the stack is not in order before it begins.
        ClientError: the stack does not answer.
    """
    runbook = scene.runbooks.get(alert)
    if runbook is None or runbook.drill is None:
        known = ", ".join(book.alert for book in scene.runbooks.values() if book.drill)
        raise StackError(f"{alert} has no drill; there are: {known}")
    bot = scene.bot(bot_name)
    await wait_until_calm(scene, bot, say)
    await scene.reconciler.forgive(bot.name, owner=OWNER, reason=f"drill {alert}")
    fault = FAULTS[runbook.drill.fault]
    run = _Run(scene=scene, runbook=runbook, drill=runbook.drill, fault=fault, bot=bot, say=say)
    if paused:
        await run.pause()
    key = ""
    try:
        run.injected = clock.now()
        key = await fault.inject(scene, bot)
        await run.follow()
        return await (_must_not_recover(run) if paused else _must_recover(run))
    finally:
        await run.resume()
        if key:
            await fault.clean_up(scene, bot, key)


async def _must_recover(run: _Run) -> DrillResult:
    deadline = run.injected + run.drill.recover_within
    while clock.now() < deadline:
        await run.follow()
        if run.story and run.story.incident.closed_at:
            return await _judge(run)
        await asyncio.sleep(TICK_SECONDS)
    return run.result(paused=False, passed=False, problem=_why_late(run))


async def _judge(run: _Run) -> DrillResult:
    """The incident is closed; whether that is a recovery, somebody else must say."""
    assert run.story is not None  # noqa: S101 - the caller has just looked
    incident = run.story.incident
    witness = await run.fault.witness(run.scene, run.bot, run.injected.timestamp())
    problem = ""
    if incident.close_reason != "recovered":
        problem = f"closed as {incident.close_reason}, not as recovered"
    elif incident.escalated_at is not None:
        problem = "it was handed to a person"
    elif witness is None:
        problem = "closed, but no witness saw the cure"
    result = run.result(paused=False, passed=not problem, problem=problem)
    return replace(result, witness=witness or "")


def _why_late(run: _Run) -> str:
    if run.story is None:
        return "no incident was opened" if run.detected else "Prometheus did not detect it"
    last = run.story.events[-1]
    return f"not closed in time; the last that happened: {last.kind} {last.reason} {last.note}"


async def _must_not_recover(run: _Run) -> DrillResult:
    """With automation paused the fault must stay, and the reason for waiting must be stored."""
    deadline = run.injected + run.drill.recover_within
    while clock.now() < deadline:
        await run.follow()
        if run.story and run.story.incident.closed_at:
            return run.result(paused=True, passed=False, problem="it recovered by itself")
        await asyncio.sleep(TICK_SECONDS)
    problem = await _paused_problem(run)
    reasons = _reasons(run)
    result = run.result(paused=True, passed=not problem, problem=problem)
    await _heal(run)
    return replace(result, reasons=reasons)


async def _paused_problem(run: _Run) -> str:
    if run.story is None:
        return "no incident was opened"
    if run.story.attempts:
        return f"{run.story.attempts[0].action} was run in spite of the pause"
    if not any("paused" in reason for reason in _reasons(run)):
        return "no reason was stored for doing nothing"
    verify = run.runbook.verify
    if verify and await run.scene.prometheus.query(fill_query(verify.query, run.bot)):
        return "the verify query holds: it recovered by itself"
    return ""


def _reasons(run: _Run) -> list[str]:
    events = run.story.events if run.story else []
    waits = [event for event in events if event.kind == "decided_wait"]
    return [f"{event.reason}: {event.note}" for event in waits]


async def _heal(run: _Run) -> None:
    """Let automation mend it, so that the next drill finds a healthy stack.

    Raises:
        StackError: it did not.
    """
    await run.resume()
    deadline = clock.monotonic() + HEAL_AFTER_PAUSE.total_seconds()
    while clock.monotonic() < deadline:
        await run.follow()
        if run.story and run.story.incident.closed_at:
            return
        await asyncio.sleep(TICK_SECONDS)
    raise StackError(f"{run.runbook.alert} did not heal after automation was resumed")
