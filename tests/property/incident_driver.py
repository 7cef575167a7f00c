"""A reconciler's store and decisions, without its loop: what the state machines drive.

A pass does here what `reconciler.look` does: the same state, world, decision and transactions; only
the sources, the clock and the actions are the machine's. What it starts is held against what the
machine itself remembers of pauses, windows, halts, approvals and failing targets.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, StaticPool, create_engine, insert, select

from tests.builders import LABELS, NOW, ONE_SHOT, make_alert, make_runbook, make_step, make_target
from trading_ops.domain.approval import Approval
from trading_ops.domain.attempt import Attempt, DeliverySemantics
from trading_ops.domain.decide import decide
from trading_ops.domain.decision import (
    NEEDS_APPROVAL,
    AlertState,
    AttemptHistory,
    Close,
    Decision,
    Escalate,
    GlobalLimits,
    Reason,
    Run,
    Wait,
    World,
)
from trading_ops.domain.gates import GateInput, acknowledged_or_escalated, first_closed_gate
from trading_ops.domain.incident import Incident
from trading_ops.domain.manual import manual_input, refusal_of
from trading_ops.domain.runbook import LONGEST_WINDOW, Limits, Runbook, RunbookStep
from trading_ops.domain.target import Registry
from trading_ops.reconciler.reconcile import ACTIVE_STATES, FIRING_STATES
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.reconciler.state import ReconcilerState, WorldBuilder, read_state
from trading_ops.store import (
    approvals,
    attempts,
    audit_chain,
    events,
    incidents,
    maintenance,
    tables,
)

LIMITS = GlobalLimits()
OWN = Limits(cooldown=timedelta(seconds=20), attempts=3)
BOOKS = {
    book.alert: book
    for book in (
        make_runbook(alert="BotSick", limits=OWN, unless=()),
        make_runbook(alert="BotDown", limits=OWN, unless=(), steps=(ONE_SHOT,) * 2),
        make_runbook(
            alert="BotLost",
            limits=OWN,
            unless=(),
            steps=(
                make_step(action="restart_component", params={"component": "x"}, approval=True),
            ),
        ),
    )
}
BOTS = ("alpha", "beta", "gamma", "delta")
REGISTRY = Registry(tuple(make_target(name=name) for name in BOTS))

ENGINE = create_engine("sqlite://", poolclass=StaticPool)
tables.metadata.create_all(ENGINE)
with ENGINE.begin() as _connection:
    _connection.execute(insert(tables.chain).values(id=1, seq=0, mac=""))

Alert = tuple[str, str]
"""An alert's name and its bot."""


@dataclass
class IncidentDriver:
    """One reconciler, the world it observes, and the operators' commands."""

    now: datetime = NOW
    firing: set[Alert] = field(default_factory=set)
    silenced: set[Alert] = field(default_factory=set)
    blind: bool = False
    """Whether a source is out of reach."""

    approved: dict[str, Approval] = field(default_factory=dict)
    """What is approved and not yet used, by digest, as the machine remembers it."""

    budget_resets: list[tuple[str, datetime]] = field(default_factory=list)
    failing: list[tuple[datetime, frozenset[str]]] = field(default_factory=list)
    """Which targets had an open incident, from each moment on."""

    def __post_init__(self) -> None:
        # Nothing is ever committed: the next life starts with the same empty tables.
        self.connection: Connection = ENGINE.connect()
        self.wake_up()

    def wake_up(self) -> None:
        """Start with nothing but what is stored, as after a crash."""
        self.state: ReconcilerState | None = None
        index = RunbookIndex(BOOKS, REGISTRY)
        self.around = WorldBuilder(index=index, limits=LIMITS, observe_only=False)

    def end(self) -> None:
        """Forget all of it."""
        events.take_pending(self.connection)
        self.connection.rollback()
        self.connection.close()

    def commit(self) -> None:
        """End a transaction: write its events, and keep who fails from now on."""
        audit_chain.write(self.connection, b"")
        table = tables.incidents.c
        open_targets = select(table.target).where(table.closed_at.is_(None))
        now_failing = frozenset(self.connection.execute(open_targets).scalars())
        if not self.failing or self.failing[-1][1] != now_failing:
            self.failing.append((self.now, now_failing))

    # What operators and sources report.

    def notify(self, alert: Alert, *, late: int = 0) -> None:
        """Take in a notification that an alert fires, perhaps from some seconds ago."""
        sighting = incidents.FiringAlert(
            alert=make_alert(labels=labels_of(alert), starts_at=self.now - timedelta(seconds=late)),
            target=alert[1],
        )
        incidents.open_all(
            self.connection, [sighting], received_at=self.now, now=self.now, source="webhook"
        )
        self.commit()

    def notify_resolved(self, alert: Alert) -> None:
        """Take in a notification that an alert has ended."""
        ends = {make_alert(labels=labels_of(alert)).fingerprint: self.now}
        incidents.note_resolved(self.connection, ends, now=self.now)
        self.commit()

    def view(self, alert: Alert) -> AlertState:
        """Return what both sources together say of an alert."""
        if self.blind:
            return AlertState.UNKNOWN
        if alert not in self.firing:
            return AlertState.ABSENT
        return AlertState.SILENCED if alert in self.silenced else AlertState.FIRING

    # What the reconciler does.

    def read(self) -> ReconcilerState:
        """Return the state, kept up to date."""
        self.state = read_state(self.connection, limits=LIMITS, now=self.now, former=self.state)
        # No notification here is forged: Prometheus has had each of their alerts firing.
        self.around.fired = frozenset(self.state.by_id).union(
            incident.id for incident in self.state.closed
        )
        return self.state

    def compare(self) -> None:
        """A state that was kept up to date must say what one that is read again says."""
        reloaded = read_state(self.connection, limits=LIMITS, now=self.now)
        assert overrides_of(self.read(), self.now) == overrides_of(reloaded, self.now)
        for incident in reloaded.incidents:
            for index in range(len(BOOKS[incident.alert].steps)):
                self.compare_gates(incident, index, reloaded)

    def compare_gates(self, incident: Incident, index: int, state: ReconcilerState) -> None:
        """What the pass decides over its state, the starting transaction says of its own rows."""
        world = replace(
            self.around.build(REGISTRY.find(str(incident.target)), state, self.now),
            acknowledged=state.overrides.acknowledged.get(incident.id),
        )
        wanted = GateInput.of_runbook(
            incident,
            BOOKS[incident.alert],
            index,
            history=state.history(incident, self.now),
            world=world,
            limits=LIMITS,
            now=self.now,
        )
        decided = acknowledged_or_escalated(incident, world) or first_closed_gate(wanted)
        # Nothing that is stored comes from the pass.
        bare = replace(
            world, pause=None, maintenance=None, halted=None, acknowledged=None, approvals={}
        )
        plan = attempts.StartRequest(
            gate_input=replace(wanted, world=bare, history=AttemptHistory())
        )
        checked = attempts.closed_gate(self.connection, plan, now=self.now)
        assert checked == decided

    def make_pass(self) -> list[tuple[Incident, Decision]]:
        """Adopt alerts without a notification, then look at every open incident once."""
        if not self.blind:
            for alert in sorted(self.firing):
                self.notify(alert)
        state = self.read()
        return [(incident, self.look(incident, state)) for incident in state.incidents]

    def look(self, incident: Incident, state: ReconcilerState) -> Decision:
        """Decide for one incident, and carry it out."""
        view = self.view((incident.alert, str(incident.target)))
        target = REGISTRY.find(str(incident.target))
        world = self.around.build(target, state, self.now, view=view)
        book, history = BOOKS[incident.alert], state.history(incident, self.now)
        decision = decide(incident, book, history, world, LIMITS, self.now)
        if incident.resolved_at is not None and view in FIRING_STATES:
            incidents.forget_resolved(self.connection, incident.id, now=self.now)
        if incident.quiet_since is not None and view in ACTIVE_STATES:
            incidents.end_quiet(self.connection, incident.id, now=self.now)
        self.carry_out(incident, decision, book, world)
        self.commit()
        return decision

    def carry_out(
        self, incident: Incident, decision: Decision, book: Runbook, world: World
    ) -> None:
        match decision:
            case Run():
                self.start(incident, decision, book, world)
            case Escalate():
                assert incidents.escalate(self.connection, incident.id, decision, now=self.now)
            case Close():
                assert incidents.close(self.connection, incident.id, decision, now=self.now)
            case Wait(reason=Reason.FLAPPING):
                incidents.go_quiet(self.connection, incident.id, now=self.now)
            case Wait(blocked_step=int() as blocked, until=None, reason=reason) if (
                reason in NEEDS_APPROVAL
            ):
                step = book.steps[blocked]
                approvals.request(
                    self.connection,
                    incident_id=incident.id,
                    action=step.action,
                    target=str(incident.target),
                    params=step.params,
                    step=blocked,
                    requested_by="reconciler",
                    now=self.now,
                )

    def start(self, incident: Incident, decision: Run, book: Runbook, world: World) -> None:
        wanted = GateInput.of_runbook(
            incident,
            book,
            decision.step,
            history=AttemptHistory(),
            world=world,
            limits=LIMITS,
            now=self.now,
        )
        plan = attempts.StartRequest(gate_input=wanted)
        started = attempts.start(self.connection, plan, now=self.now)
        if started is not None:
            alert = (incident.alert, str(incident.target))
            assert alert in self.firing, "what has ended starts nothing"
            assert alert not in self.silenced, "silenced suppresses remediation"
            assert not self.blind, "unknown is not firing"
            assert incident.escalated_at is None, "a person has it"
            self.judge(started, book.steps[decision.step])

    def order(self, bot: str, step: RunbookStep, owner: str) -> Attempt | None:
        """An operator orders an action manually."""
        state = self.read()
        target = REGISTRY.find(bot)
        world = self.around.build(target, state, self.now)
        history = AttemptHistory(
            target=tuple(attempts.of_target(self.connection, bot, since=self.now - LONGEST_WINDOW)),
            everywhere=attempts.count_since(
                self.connection, self.now - LIMITS.window, now=self.now
            ),
        )
        wanted = manual_input(step, bot, history, world, LIMITS, self.now)
        refusal = refusal_of(first_closed_gate(wanted), bot)
        if refusal is not None:
            if refusal.reason in NEEDS_APPROVAL:
                bound = {"action": step.action, "target": bot, "params": step.params}
                approvals.request(
                    self.connection,
                    incident_id=None,
                    step=None,
                    requested_by=owner,
                    now=self.now,
                    **bound,  # type: ignore[arg-type]
                )
            self.commit()
            return None
        plan = attempts.StartRequest(gate_input=wanted, requested_by=owner, reason="why")
        started = attempts.start(self.connection, plan, now=self.now)
        assert started is not None, "nothing can have changed"
        self.judge(started, step)
        self.commit()
        return started

    # What may never be.

    def judge(self, attempt: Attempt, step: RunbookStep) -> None:
        """Hold an attempt that has just started against what the machine remembers."""
        assert attempt.delivery is not DeliverySemantics.SAFE_DIRECTION
        assert not self.paused_at(self.now), "automation is paused"
        open_now = maintenance.current(self.connection, now=self.now)
        assert not [incident for incident in open_now if incident.target in (None, attempt.target)]
        assert self.most_failing() <= LIMITS.storm_targets, "there is a storm"
        failing = self.failing[-1][1] if self.failing else frozenset()
        well = len(BOTS) - 1 - len(failing - {attempt.target})
        assert well >= LIMITS.minimum_healthy_share * (len(BOTS) - 1), "too few are well"
        if step.approval:
            digests = [
                key
                for key, approval in self.approved.items()
                if (approval.incident_id, approval.action, approval.target, dict(approval.params))
                == (attempt.incident_id, attempt.action, attempt.target, dict(attempt.params))
            ]
            assert len(digests) == 1, "no one approved it, or it was used already"
            given = self.approved.pop(digests[0])
            assert self.now < given.expires_at, "the approval has run out"

    def paused_at(self, now: datetime) -> bool:
        table = tables.pauses.c
        rows = self.connection.execute(tables.pauses.select().where(table.ended_at.is_(None)))
        return any(row.begins_at <= now < row.expires_at for row in rows)

    def most_failing(self) -> int:
        """Return how many targets at most had open incidents at one moment of the quiet time."""
        since, counts = self.now - LIMITS.storm_quiet, [0]
        for index, (_, targets) in enumerate(self.failing):
            lasted = index + 1 == len(self.failing) or self.failing[index + 1][0] > since
            instant = index + 1 < len(self.failing) and (
                self.failing[index + 1][0] == self.failing[index][0]
            )
            if lasted and not instant:
                counts.append(len(targets))
        return max(counts)


def labels_of(alert: Alert) -> dict[str, str]:
    """Return the labels of an alert."""
    return LABELS | {"alertname": alert[0], "bot": alert[1]}


def overrides_of(state: ReconcilerState, now: datetime) -> dict[str, Any]:
    """Return all that a state says at a moment: not how it was read."""
    recent = now - LIMITS.storm_quiet
    window = now - LIMITS.window
    overrides = state.overrides
    return vars(
        replace(
            state,
            changed=frozenset(),
            of_incident={key: done for key, done in state.of_incident.items() if done},
            starts=tuple(sorted(start for start in state.starts if start > window)),
            closed=tuple(
                incident
                for incident in state.closed
                if incident.closed_at and incident.closed_at > recent
            ),
            overrides=replace(
                overrides,
                pause=state.pause_at(now),
                maintenance=tuple(
                    window for window in overrides.maintenance if window.ends_at > now
                ),
                approvals={
                    key: approval
                    for key, approval in overrides.approvals.items()
                    if approval.expires_at > now
                },
            ),
        )
    )


def counted(timeline: list[events.TimelineEvent], kind: str) -> Counter[str | None]:
    """Return how often an event of a kind is in the timeline of each incident."""
    return Counter(event.incident_id for event in timeline if event.kind == kind)
