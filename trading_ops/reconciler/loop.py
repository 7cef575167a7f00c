"""The loop: compare what is with what should be, and take at most one step for each target.

Woken by a stored notification or an ended job, each second while an incident is open, and at the
poll interval otherwise. Killed at any point and started again, it does the right thing: nothing
that matters is kept here.
"""

import asyncio
import math
from dataclasses import dataclass, field, replace
from functools import partial

from trading_ops import clock, logs
from trading_ops.domain.attempt import Attempt, AttemptState
from trading_ops.domain.decide import decide, next_step
from trading_ops.domain.decision import (
    AlertView,
    Close,
    Decision,
    Escalate,
    GlobalLimits,
    Run,
    Verify,
    Wait,
    World,
)
from trading_ops.domain.incident import Incident
from trading_ops.domain.runbook import Runbook
from trading_ops.domain.sighting import Snapshot, blocking, view_of
from trading_ops.domain.target import Target
from trading_ops.errors import TradingOpsError
from trading_ops.reconciler.desk import Desk, read_desk
from trading_ops.reconciler.escalate import show_open
from trading_ops.reconciler.intake import Intake
from trading_ops.reconciler.jobs import Jobs
from trading_ops.reconciler.ledger import Ledger
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reconciler.observe import Observer
from trading_ops.reconciler.perform import Performer
from trading_ops.reconciler.plans import Plans
from trading_ops.reconciler.recover import Recovery
from trading_ops.reconciler.verify import Verifier
from trading_ops.store import Connection, attempts, events, incidents
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

log = logs.get(__name__)

WATCHING_SECONDS = 1.0
DRAIN_SECONDS = 5.0
PRUNE_SECONDS = 3600.0
SEEN = frozenset({AlertView.FIRING, AlertView.SILENCED, AlertView.INHIBITED})


@dataclass(kw_only=True)
class Loop:
    """One reconciler's loop over the open incidents."""

    writer: Writer
    reader: Reader
    plans: Plans
    intake: Intake
    observer: Observer
    performer: Performer
    verifier: Verifier
    recovery: Recovery
    metrics: ReconcilerMetrics
    limits: GlobalLimits
    observe_only: bool
    poll_seconds: float
    wakeup: asyncio.Event
    jobs: Jobs = field(init=False)
    ledger: Ledger = field(init=False)
    passed_at: float = field(init=False, default=-math.inf)
    """When a whole pass last came to its end, on the monotonic clock."""

    def __post_init__(self) -> None:
        self.jobs = Jobs(self.wakeup.set)
        self.ledger = Ledger(writer=self.writer, plans=self.plans, metrics=self.metrics)

    async def run(self) -> None:
        """Run until cancelled; then let what is under way come to its end."""
        await self.recovery.adopt_orphans()
        await self.intake.remember_watchdog()
        polled_at = pruned_at = -math.inf
        try:
            while True:
                self.wakeup.clear()
                due = clock.monotonic() - polled_at >= self.poll_seconds
                polled_at = clock.monotonic() if due else polled_at
                rest = await self._guarded_pass(poll=due)
                if clock.monotonic() - pruned_at > PRUNE_SECONDS:
                    pruned_at = clock.monotonic()
                    self.jobs.start("prune", self.intake.forget_old())
                until_poll = polled_at + self.poll_seconds - clock.monotonic()
                await self._sleep(min(rest, until_poll))
        finally:
            await self.jobs.stop(DRAIN_SECONDS)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self.wakeup.wait()
        except TimeoutError:
            pass

    async def _guarded_pass(self, *, poll: bool) -> float:
        try:
            rest = await self.make_pass(poll=poll)
        except TradingOpsError as error:
            log.warning("pass_failed", error=str(error))
        except Exception:  # one bad pass must not end recovery for good
            log.exception("pass_crashed")
        else:
            self.passed_at = clock.monotonic()
            return rest
        return WATCHING_SECONDS

    async def make_pass(self, *, poll: bool) -> float:
        """Make one pass; return in how many seconds to look again, whatever else happens."""
        await self.intake.take_apart()
        desk = await self._read()
        if not desk.incidents and not poll:
            self._show(desk)
            return math.inf
        snapshot = await self.observer.look()
        known = {incident.fingerprint for incident in desk.incidents}
        if await self.observer.adopt(snapshot, known):
            desk = await self._read()
        rests = [await self._guarded_look(one, desk, snapshot) for one in desk.incidents]
        self._show(desk)
        return min(rests, default=math.inf)

    async def _read(self) -> Desk:
        return await self.reader.read(partial(read_desk, limits=self.limits, now=clock.now()))

    def _show(self, desk: Desk) -> None:
        self.metrics.paused.set(desk.pause is not None)
        show_open(self.metrics, desk.incidents, self.plans)
        self.ledger.keep_only({incident.id for incident in desk.incidents})

    async def _guarded_look(self, incident: Incident, desk: Desk, snapshot: Snapshot) -> float:
        """Look at one incident; return in how many seconds to look again."""
        try:
            decision = await self._look_at(incident, desk, snapshot)
        except TradingOpsError as error:
            log.warning("incident_failed", incident=incident.id, error=str(error))
        except Exception:  # one bad incident must not hold up the others
            log.exception("incident_crashed", incident=incident.id)
        else:
            if isinstance(decision, Wait) and decision.until is not None:
                rest = (decision.until - clock.now()).total_seconds()
                return min(max(rest, 0.0), WATCHING_SECONDS)
        return WATCHING_SECONDS

    async def _look_at(self, incident: Incident, desk: Desk, snapshot: Snapshot) -> Decision:
        runbook = self.plans.runbook(incident.alert)
        target = self.plans.registry.find(incident.target or "")
        world = await self._world(incident, desk, snapshot, runbook, target)
        if incident.resolved_at is not None and world.view in SEEN:
            forget = partial(incidents.forget_resolved, key=incident.id, now=clock.now())
            await self.writer.run(forget)
        history = desk.histories[incident.id]
        decision = decide(incident, runbook, history, world, self.limits, clock.now())
        await self._carry_out(incident, decision, runbook, target)
        last = desk.last(incident)
        if last is not None and runbook and target:
            await self._look_after(last, runbook, target)
        return decision

    async def _look_after(self, last: Attempt, runbook: Runbook, target: Target) -> None:
        """See to it that an attempt under way has somebody who brings it to its end."""
        if last.state is AttemptState.UNKNOWN:
            self._probe(last, runbook, target)
        elif last.state is AttemptState.STARTED and last.id not in self.jobs:
            # Its job could not write its end, for instance because the database was away.
            await self.recovery.adopt(last, "its outcome could not be stored")

    async def _world(
        self,
        incident: Incident,
        desk: Desk,
        snapshot: Snapshot,
        runbook: Runbook | None,
        target: Target | None,
    ) -> World:
        last = desk.last(incident)
        world = World(
            view=view_of(incident, last, snapshot),
            pause=desk.pause,
            observe_only=self.observe_only,
            target_registered=target is not None,
            blocking=blocking(runbook, target, snapshot) if runbook and target else (),
            failing_targets=desk.failing_targets,
        )
        if runbook is None or target is None or world.view is not AlertView.FIRING:
            return world
        # Probe the target only for a step that would otherwise run at once.
        history = desk.histories[incident.id]
        wanted = decide(incident, runbook, history, world, self.limits, clock.now())
        if not isinstance(wanted, Run):
            return world
        step = runbook.steps[next_step(runbook, history.incident)]
        return replace(world, precondition=await self.performer.precondition(step, target))

    async def _carry_out(
        self,
        incident: Incident,
        decision: Decision,
        runbook: Runbook | None,
        target: Target | None,
    ) -> None:
        now = clock.now()
        match decision:
            case Run() if runbook is not None and target is not None:
                await self._start(incident, decision, runbook, target)
            case Verify() if runbook is not None and target is not None and runbook.verify:
                key = f"verify:{decision.attempt.id}"
                if key not in self.jobs:
                    await self.ledger.record(incident, decision)
                    self.jobs.start(
                        key,
                        self.verifier.verify(
                            decision.attempt, runbook.verify, target, decision.until
                        ),
                    )
            case Escalate():
                await self.ledger.record(incident, decision)
                await self.writer.run(
                    partial(incidents.escalate, key=incident.id, decision=decision, now=now)
                )
                self.wakeup.set()
            case Close():
                await self.ledger.record(incident, decision)
                if await self.writer.run(
                    partial(incidents.close, key=incident.id, decision=decision, now=now)
                ):
                    lasted = (now - incident.opened_at).total_seconds()
                    self.metrics.recovery.labels(incident.alert).observe(lasted)
                self.wakeup.set()
            case _:
                await self.ledger.record(incident, decision)

    async def _start(
        self, incident: Incident, decision: Run, runbook: Runbook, target: Target
    ) -> None:
        now = clock.now()
        plan = attempts.Plan(
            incident=incident,
            runbook=runbook,
            step=decision.step,
            target=target.name,
            everywhere_limit=self.limits.attempts,
            everywhere_since=now - self.limits.window,
        )

        def start_and_say_so(connection: Connection) -> Attempt | None:
            before = events.mark(connection)
            self.ledger.write(connection, incident, decision, now)
            attempt = attempts.start(connection, plan, now=now)
            if attempt is None:
                events.rewind(connection, before)  # what did not start was not decided either
            return attempt

        attempt = await self.writer.run(start_and_say_so)
        if attempt is None:
            return  # a gate shut meanwhile; the next pass says which
        self.ledger.count(incident, decision)
        step = runbook.steps[decision.step]
        self.jobs.start(attempt.id, self.performer.perform(attempt, step, target))

    def _probe(self, attempt: Attempt, runbook: Runbook, target: Target) -> None:
        key = f"probe:{attempt.id}"
        if key not in self.jobs and attempt.step < len(runbook.steps):
            step = runbook.steps[attempt.step]
            self.jobs.start(key, self.recovery.probe(attempt, step, target))
