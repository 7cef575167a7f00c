"""The life of incidents as a state machine over the real store, driven by hypothesis.

Facts come in any order, doubled, late or never; attempts end in any way; operators act at any time
at any moment; the process dies at any point. Whatever happens, the invariants hold.

More of it: `pytest tests/property --hypothesis-profile long`.
"""

import itertools
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import select

from tests.builders import ONE_SHOT, make_step
from tests.open_incidents import open_incidents
from tests.property.incident_driver import BOOKS, BOTS, LIMITS, OWN, Alert, IncidentDriver, counted
from trading_ops.domain.approval import ApprovalState, same_person
from trading_ops.domain.attempt import RUNNING, Attempt, AttemptState
from trading_ops.domain.decision import Pause, Reason, Wait
from trading_ops.domain.hold import HeldState, Hold
from trading_ops.domain.maintenance import Maintenance
from trading_ops.errors import RequestRefused
from trading_ops.store import (
    approvals,
    attempts,
    events,
    holds,
    maintenance,
    tables,
)

alerts = st.tuples(st.sampled_from(sorted(BOOKS)), st.sampled_from(BOTS[:3]))
people = st.sampled_from(["ada", "bob", "Ada ", "reconciler"])
ORDERS = (ONE_SHOT, make_step(action="restart_bot", approval=True), make_step())


class Incidents(RuleBasedStateMachine):
    """One reconciler's store, and a clock that the machine moves."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = IncidentDriver()
        self.stormy = False

    def teardown(self) -> None:
        # Nothing stored is ever removed, so it is enough to check the whole audit log at the end.
        try:
            self.never_over_the_limits()
            self.a_person_is_called_once()
            self.what_a_person_has_is_left_alone()
            self.fences_only_grow()
        finally:
            self.driver.end()

    # What the sources tell, and what they do not.

    @rule(
        alert=alerts,
        copies=st.integers(0, 2),
        late=st.sampled_from([0, 0, 0, 30]),
        looks=st.booleans(),
    )
    def an_alert_fires(self, alert: Alert, copies: int, late: int, looks: bool) -> None:
        """Reported several times, never, or late, when it is over again."""
        if not late:
            self.driver.firing.add(alert)
        for _ in range(copies):
            self.driver.notify(alert, late=late)
        if looks:
            self.driver.make_pass()

    @precondition(lambda self: not self.stormy)
    @rule(count=st.integers(2, len(BOTS)))
    def many_bots_fall_ill(self, count: int) -> None:
        """Enough of them are a storm; one is enough for one life."""
        self.stormy = True
        self.driver.firing |= {("BotDown", bot) for bot in BOTS[:count]}

    @precondition(lambda self: not self.stormy)
    @rule(alert=alerts, seconds=st.sampled_from([1, 100, 130]))
    def a_storm_passes(self, alert: Alert, seconds: int) -> None:
        """And a little later only one bot fails."""
        self.stormy = True
        self.many_bots_fall_ill(len(BOTS))
        for firing in (set[Alert](), {alert}):
            self.driver.make_pass()
            self.driver.now += timedelta(seconds=seconds)
            self.driver.firing = firing
            self.driver.make_pass()

    @rule(alert=alerts, notified=st.booleans())
    def an_alert_ends(self, alert: Alert, notified: bool) -> None:
        self.driver.firing.discard(alert)
        if notified:
            self.driver.notify_resolved(alert)

    @rule()
    def every_fault_is_repaired(self) -> None:
        self.driver.firing.clear()

    @rule(alert=alerts, fires=st.booleans())
    def a_silence_begins_or_ends(self, alert: Alert, fires: bool) -> None:
        self.driver.silenced ^= {alert}
        if fires:
            self.driver.firing.add(alert)
            self.driver.make_pass()

    @rule()
    def a_source_goes_or_comes(self) -> None:
        self.driver.blind = not self.driver.blind

    @rule(seconds=st.sampled_from([1, 5, 20, 60, 130, 310, 700]))
    def time_passes(self, seconds: int) -> None:
        self.driver.now += timedelta(seconds=seconds)

    # What operators do.

    @rule(seconds=st.integers(1, 60))
    def a_person_pauses(self, seconds: int) -> None:
        now = self.driver.now
        pause = Pause(owner="ada", reason="why", expires_at=now + timedelta(seconds=seconds))
        maintenance.begin_pause(self.driver.connection, pause, now=now)
        self.driver.commit()

    @rule(
        whom=st.none() | st.sampled_from(BOTS[:2]),
        ahead=st.sampled_from([0, 0, 30]),
        seconds=st.integers(1, 200),
    )
    def a_window_is_planned(self, whom: str | None, ahead: int, seconds: int) -> None:
        begins_at = self.driver.now + timedelta(seconds=ahead)
        window = Maintenance(
            target=whom,
            owner="ada",
            reason="why",
            begins_at=begins_at,
            ends_at=begins_at + timedelta(seconds=seconds),
        )
        maintenance.begin(self.driver.connection, window, now=self.driver.now)
        self.driver.commit()

    @rule()
    def windows_are_ended(self) -> None:
        for window in maintenance.planned(self.driver.connection, now=self.driver.now):
            maintenance.end(self.driver.connection, window.id, owner="bob", now=self.driver.now)
        self.driver.commit()

    @rule(bot=st.sampled_from(BOTS[:2]), owner=st.sampled_from(["ada", "reconciler"]))
    def a_bot_is_halted_or_let_go(self, bot: str, owner: str) -> None:
        key, now = f"{bot} {owner} {self.driver.now}", self.driver.now
        released = [hold.id for hold in holds.active(self.driver.connection, bot)]
        if released:
            holds.release(self.driver.connection, ids=released, owner="ada", reason="why", now=now)
        else:
            hold = Hold(
                id=key, target=bot, state=HeldState.HALTED, owner=owner, reason="why", at=now
            )
            holds.place(self.driver.connection, hold, now=now)
        self.driver.commit()

    @rule(bot=st.sampled_from(BOTS[:2]))
    def a_budget_is_reset(self, bot: str) -> None:
        now = self.driver.now
        attempts.reset_budget(self.driver.connection, bot, owner="ada", reason="why", now=now)
        self.driver.budget_resets.append((bot, now))
        self.driver.commit()

    @rule(owner=people, yes=st.booleans())
    def requests_are_answered(self, owner: str, yes: bool) -> None:
        """By anyone: one's own is not approved, and what has run out is not either."""
        driver = self.driver
        for asked in approvals.search(driver.connection, state=ApprovalState.PENDING):
            answer = approvals.approve if yes else approvals.deny
            try:
                given = answer(driver.connection, asked.id, owner=owner, now=driver.now)
            except RequestRefused:
                own = yes and same_person(owner, asked.requested_by)
                assert own or asked.expires_at <= driver.now
                continue
            assert asked.expires_at > driver.now
            assert not (yes and same_person(owner, asked.requested_by))
            if yes:
                driver.approved[asked.digest] = given
        driver.commit()

    @rule(bot=st.sampled_from(BOTS[:2]), step=st.sampled_from(ORDERS), owner=people)
    def a_manual_action_is_requested(self, bot: str, step: object, owner: str) -> None:
        assert step in ORDERS
        self.driver.order(bot, ORDERS[ORDERS.index(step)], owner)

    @rule(bot=st.sampled_from(BOTS[:2]), seconds=st.sampled_from([30, 700]))
    def an_order_is_approved(self, bot: str, seconds: int) -> None:
        """And tried twice, the second time perhaps too late."""
        driver, step = self.driver, ORDERS[1]
        driver.order(bot, step, "ada")
        self.requests_are_answered("bob", yes=True)
        for _ in range(2):
            started = driver.order(bot, step, "ada")
            if started is not None:
                self.ends(started, AttemptState.FAILED)
            driver.now += timedelta(seconds=seconds)

    def ends(self, attempt: Attempt, state: AttemptState) -> None:
        changed = attempts.finish(
            self.driver.connection,
            attempt,
            state,
            detail="",
            now=self.driver.now,
            only_from=(attempt.state,),
        )
        assert changed
        self.driver.commit()

    # What the reconciler does.

    @rule()
    def a_pass_is_made(self) -> None:
        self.driver.make_pass()

    @rule()
    def the_state_is_reloaded(self) -> None:
        self.driver.compare()

    @rule()
    def the_process_dies(self) -> None:
        self.driver.wake_up()

    @rule()
    def it_comes_to_rest(self) -> None:
        """After a pass that sees, the open incidents are what fires, and what is not over yet."""
        if self.driver.blind:
            return
        looked = self.driver.make_pass()
        # What a pass closes and what then is absent is gone; everything that fires is there.
        left = {
            (incident.alert, incident.target) for incident in open_incidents(self.driver.connection)
        }
        assert self.driver.firing <= left
        reasons = {
            (incident.alert, incident.target): decision.reason
            for incident, decision in looked
            if isinstance(decision, Wait)
        }
        held = {(attempt.incident_id) for attempt in self.running()}
        for incident in open_incidents(self.driver.connection):
            alert = (incident.alert, str(incident.target))
            flaps = reasons.get(alert) is Reason.FLAPPING
            assert alert in self.driver.firing or incident.id in held or flaps

    def running(self) -> list[Attempt]:
        return attempts.running(self.driver.connection)

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def an_attempt_goes_on(self, data: st.DataObject) -> None:
        """It ends in any way that its state allows, or the process dies and forgets it."""
        attempt = data.draw(st.sampled_from(self.running()))
        done = AttemptState.COMPLETED if attempt.incident_id is None else AttemptState.SUCCEEDED
        ways = {
            AttemptState.STARTED: [done, AttemptState.FAILED, AttemptState.UNKNOWN],
            AttemptState.UNKNOWN: [done, AttemptState.FAILED, AttemptState.ABANDONED],
            AttemptState.SUCCEEDED: [AttemptState.VERIFIED, AttemptState.UNVERIFIED],
        }[attempt.state]
        state = data.draw(st.sampled_from(ways))
        for expected in (True, False):  # the second writer finds that it is too late
            changed = attempts.finish(
                self.driver.connection,
                attempt,
                state,
                detail="",
                now=self.driver.now,
                only_from=(attempt.state,),
            )
            assert changed is expected
        self.driver.commit()

    # What may never be.

    def all_attempts(self) -> list[Attempt]:
        return attempts.read(self.driver.connection, select(tables.attempts))

    @invariant()
    def one_of_each(self) -> None:
        """One open incident for each alert, one running attempt for each target."""
        seen = [incident.fingerprint for incident in open_incidents(self.driver.connection)]
        assert len(seen) == len(set(seen))
        held = [attempt.target for attempt in self.all_attempts() if attempt.state in RUNNING]
        assert len(held) == len(set(held))

    def never_over_the_limits(self) -> None:
        done = sorted(self.all_attempts(), key=lambda attempt: attempt.started_at)
        for key in {(attempt.target, attempt.runbook) for attempt in done if attempt.runbook}:
            self.within(
                [attempt for attempt in done if (attempt.target, attempt.runbook) == key], key[0]
            )
        for key in {(attempt.target, attempt.action) for attempt in done}:
            self.within(
                [attempt for attempt in done if (attempt.target, attempt.action) == key],
                key[0],
                most=4,
            )
        for first, later in zip(done, done[LIMITS.attempts :], strict=False):
            assert later.started_at - first.started_at >= LIMITS.window or self.driver.budget_resets

    def within(self, group: list[Attempt], target: str, most: int = OWN.attempts) -> None:
        """Cooldown and budget hold between all that no forgiving lies between."""

        def repeated(first: Attempt, later: Attempt) -> bool:
            return any(
                name == target and first.started_at <= moment <= later.started_at
                for name, moment in self.driver.budget_resets
            )

        for first, later in itertools.pairwise(group):
            assert later.started_at - first.started_at >= OWN.cooldown or repeated(first, later)
        for first, later in zip(group, group[most:], strict=False):
            assert later.started_at - first.started_at >= OWN.window or repeated(first, later)

    def a_person_is_called_once(self) -> None:
        timeline = events.latest(self.driver.connection, limit=10_000)
        for kind in ("escalated", "closed", "opened"):
            assert all(count == 1 for count in counted(timeline, kind).values())

    def what_a_person_has_is_left_alone(self) -> None:
        timeline = sorted(
            events.latest(self.driver.connection, limit=10_000), key=lambda event: event.seq
        )
        handed_over = set[str | None]()
        for event in timeline:
            if event.kind == "escalated":
                handed_over.add(event.incident_id)
            assert not (event.kind == "started" and event.incident_id in handed_over)

    def fences_only_grow(self) -> None:
        for bot in BOTS:
            done = [attempt for attempt in self.all_attempts() if attempt.target == bot]
            fences = [
                attempt.fence
                for attempt in sorted(done, key=lambda attempt: (attempt.started_at, attempt.fence))
            ]
            assert fences == sorted(set(fences))


TestIncidents = Incidents.TestCase
TestIncidents.settings = settings(
    max_examples=settings().max_examples // 2,
    stateful_step_count=40,
    deadline=None,
)
