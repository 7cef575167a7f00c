"""The life of incidents as a state machine over the real store, driven by hypothesis.

Facts come in any order, doubled and late; attempts end in any way; the process dies at any point.
Whatever happens, the invariants hold.
"""

import itertools
from collections import Counter
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Connection, create_engine, insert, select

from tests.builders import LABELS, NOW, make_alert, make_runbook
from trading_ops.domain.attempt import RUNNING, Attempt, AttemptState
from trading_ops.domain.decide import decide
from trading_ops.domain.decision import (
    AlertView,
    Close,
    Escalate,
    GlobalLimits,
    Pause,
    Run,
    Verify,
    World,
)
from trading_ops.domain.runbook import Limits
from trading_ops.reconciler.desk import read_desk
from trading_ops.store import attempts, events, incidents, pauses, tables

LIMITS = GlobalLimits()
BOOKS = {
    name: make_runbook(
        alert=name, limits=Limits(cooldown=timedelta(seconds=20), attempts=3), unless=()
    )
    for name in ("BotSick", "BotDown")
}
names = st.sampled_from(sorted(BOOKS))
bots = st.sampled_from(["alpha", "beta"])


class Incidents(RuleBasedStateMachine):
    """One reconciler's store, and a clock that the machine moves."""

    connection: Connection

    @initialize()
    def begin(self) -> None:
        engine = create_engine("sqlite://")
        tables.metadata.create_all(engine)
        self.connection = engine.connect()
        self.connection.execute(insert(tables.chain).values(id=1, seq=0, mac=""))
        self.now = NOW
        self.firing: set[tuple[str, str]] = set()

    def teardown(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()
            self.connection.engine.dispose()

    def labels(self, name: str, bot: str) -> dict[str, str]:
        return LABELS | {"alertname": name, "bot": bot}

    @rule(name=names, bot=bots, copies=st.integers(1, 3), late=st.integers(0, 60))
    def a_firing_fact_comes(self, name: str, bot: str, copies: int, late: int) -> None:
        """It may come several times, and late: it then opens what the next pass closes again."""
        if not late:
            self.firing.add((name, bot))
        starts_at = self.now - timedelta(seconds=late)
        for _ in range(copies):
            alert = make_alert(labels=self.labels(name, bot), starts_at=starts_at)
            incidents.open_all(
                self.connection,
                [incidents.Sighting(alert=alert, target=bot)],
                received_at=self.now,
                now=self.now,
                source="webhook",
            )

    @rule(name=names, bot=bots)
    def it_ends(self, name: str, bot: str) -> None:
        self.firing.discard((name, bot))
        alert = make_alert(labels=self.labels(name, bot))
        incidents.note_resolved(self.connection, {alert.fingerprint: self.now}, now=self.now)

    @rule(seconds=st.integers(1, 90))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(seconds=st.integers(1, 60))
    def a_person_pauses(self, seconds: int) -> None:
        expires_at = self.now + timedelta(seconds=seconds)
        pause = Pause(owner="ada", reason="why", expires_at=expires_at)
        pauses.begin(self.connection, pause, now=self.now)

    @rule()
    def a_pass_is_made(self) -> None:
        desk = read_desk(self.connection, limits=LIMITS, now=self.now)
        for incident in desk.incidents:
            fires = (incident.alert, incident.target) in self.firing
            world = World(
                view=AlertView.FIRING if fires else AlertView.ABSENT,
                pause=desk.pause,
                failing_targets=len({one.target for one in desk.incidents}),
            )
            book = BOOKS[incident.alert]
            history = desk.history(incident, self.now)
            decision = decide(incident, book, history, world, LIMITS, self.now)
            match decision:
                case Run():
                    plan = attempts.Plan(
                        incident=incident,
                        runbook=book,
                        step=decision.step,
                        target=str(incident.target),
                        everywhere_limit=LIMITS.attempts,
                        everywhere_since=self.now - LIMITS.window,
                    )
                    started = attempts.start(self.connection, plan, now=self.now)
                    if started is not None:
                        assert desk.pause is None
                        assert fires
                case Escalate():
                    incidents.escalate(self.connection, incident.id, decision, now=self.now)
                case Close():
                    assert not fires
                    incidents.close(self.connection, incident.id, decision, now=self.now)
                case Verify() | _:
                    pass

    def running(self) -> list[Attempt]:
        return attempts.running(self.connection)

    @precondition(lambda self: hasattr(self, "connection") and self.running())
    @rule(data=st.data())
    def an_attempt_goes_on(self, data: st.DataObject) -> None:
        """It ends in any way that its state allows, or the process dies and forgets it."""
        attempt = data.draw(st.sampled_from(self.running()))
        ways = {
            AttemptState.STARTED: [
                AttemptState.SUCCEEDED,
                AttemptState.FAILED,
                AttemptState.UNKNOWN,
            ],
            AttemptState.UNKNOWN: [
                AttemptState.SUCCEEDED,
                AttemptState.FAILED,
                AttemptState.ABANDONED,
            ],
            AttemptState.SUCCEEDED: [AttemptState.VERIFIED, AttemptState.UNVERIFIED],
        }[attempt.state]
        state = data.draw(st.sampled_from(ways))
        for expected in (True, False):  # the second writer finds that it is too late
            changed = attempts.finish(
                self.connection,
                attempt,
                state,
                detail="",
                now=self.now,
                only_from=(attempt.state,),
            )
            assert changed is expected

    def all_attempts(self) -> list[Attempt]:
        ids = self.connection.execute(select(tables.incidents.c.id)).scalars().all()
        return [one for key in ids for one in attempts.of_incident(self.connection, key)]

    @invariant()
    def one_open_incident_for_each_alert(self) -> None:
        if hasattr(self, "connection"):
            seen = Counter(one.fingerprint for one in incidents.open_ones(self.connection))
            assert all(count == 1 for count in seen.values())

    @invariant()
    def one_running_attempt_for_each_target(self) -> None:
        if hasattr(self, "connection"):
            held = Counter(one.target for one in self.all_attempts() if one.state in RUNNING)
            assert all(count == 1 for count in held.values())

    @invariant()
    def never_over_the_limits(self) -> None:
        if not hasattr(self, "connection"):
            return
        for key in {(one.runbook, one.target) for one in self.all_attempts()}:
            starts = sorted(
                one.started_at for one in self.all_attempts() if (one.runbook, one.target) == key
            )
            limits = BOOKS[key[0]].limits
            for first, later in zip(starts, starts[limits.attempts :], strict=False):
                assert later - first >= limits.window
            for first, later in itertools.pairwise(starts):
                assert later - first >= limits.cooldown

    @invariant()
    def a_person_is_called_once(self) -> None:
        if hasattr(self, "connection"):
            events.write(self.connection, b"")
            story = events.latest(self.connection, limit=10_000)
            called = Counter(one.incident_id for one in story if one.kind == "escalated")
            assert all(count == 1 for count in called.values())

    @invariant()
    def fences_only_grow(self) -> None:
        if hasattr(self, "connection"):
            for bot in ("alpha", "beta"):
                done = [one for one in self.all_attempts() if one.target == bot]
                in_order = sorted(done, key=lambda one: one.fence)
                assert len({one.fence for one in done}) == len(done)
                assert [one.started_at for one in in_order] == sorted(
                    one.started_at for one in done
                )


TestIncidents = Incidents.TestCase
TestIncidents.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
