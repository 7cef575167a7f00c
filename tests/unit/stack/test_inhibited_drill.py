"""A drill during an outage fails for every way in which hands were not kept off."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.stack.test_drill_checks import BOOKS, Whole
from tests.unit.stack.timelines import AT, attempt, timeline
from trading_ops import clock
from trading_ops.clients.reconciler_views import EventView, IncidentView, TimelineView
from trading_ops.domain.runbook import Runbook
from trading_ops.domain.target import Target
from trading_ops.errors import StackError
from trading_ops_lab.drills.drill_run import Following
from trading_ops_lab.drills.inhibited_drill import cause_of, must_wait
from trading_ops_lab.drills.lab_clients import Scene

DOWN, VENUE = BOOKS["TradingBotDown"], BOOKS["TradingVenueDown"]
SOON = timedelta(milliseconds=150)


class Killed(Whole):
    """A fault whose fix someone may see."""

    def __init__(self, seen: str | None = None) -> None:
        """Take what the evidence says."""
        self._seen = seen
        self.injected = False

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Note it."""
        del scene, bot
        self.injected = True
        return "pid"

    async def evidence(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Return what was given."""
        del scene, bot, since
        return self._seen


class Venue:
    """The fault port."""

    def __init__(self) -> None:
        """Start with nothing broken."""
        self.broken: list[str] = []

    async def inject(self, kind: str, **details: Any) -> str:
        """Break it."""
        del details
        self.broken.append(kind)
        return kind

    async def clear(self, key: str) -> None:
        """Fix it."""
        self.broken.remove(key)


class World:
    """A stack whose venue's alert fires as soon as the venue is broken, or never."""

    def __init__(self, timeline: TimelineView | None, *, fires: bool = True) -> None:
        """Take what the reconciler tells of the bot."""
        self.venue = Venue()
        self.runbooks = BOOKS
        self.reconciler = self
        self.prometheus = self
        self._timeline = [] if timeline is None else [timeline]
        self._fires = fires

    def faults(self, bot: object) -> Venue:
        """Return the fault port."""
        del bot
        return self.venue

    async def incidents(self, **filters: str) -> Sequence[IncidentView]:
        """Return those that are reported."""
        del filters
        return [item.incident for item in self._timeline]

    async def timeline(self, key: str) -> TimelineView:
        """Return the one."""
        del key
        return self._timeline[0]

    async def view(self) -> object:
        """Return what fires."""
        fires = self._fires and bool(self.venue.broken)
        alert = SimpleNamespace(
            name=VENUE.alert, firing=True, active_at=clock.now(), labels={"venue": "paper"}
        )
        return SimpleNamespace(alerts={"1": alert} if fires else {})


def waiting(note: str = "would have run restart_bot; TradingVenueDown") -> TimelineView:
    """Return the timeline of an incident that waits for its cause to end."""
    event = EventView(at=AT, kind="decided_wait", reason="cause_elsewhere", note=note, actor="us")
    waiting_timeline = timeline(DOWN.alert)
    waiting_timeline.events.append(event)
    return waiting_timeline


def following(world: World, fault: Killed) -> Following:
    """Return a drill that does not last."""
    assert DOWN.drill is not None
    return Following(
        scene=cast(Any, world),
        runbook=DOWN,
        drill=replace(DOWN.drill, recover_within=SOON),
        fault=fault,
        bot=cast(Any, SimpleNamespace(name="alpha", venue="paper")),
        say=lambda _mark: None,
    )


def soon(book: Runbook) -> Runbook:
    """Return a runbook whose drill does not last."""
    assert book.drill is not None
    return replace(book, drill=replace(book.drill, recover_within=SOON))


@pytest.mark.parametrize(
    ("timeline", "seen", "problem"),
    [
        (waiting(), None, ""),
        (None, None, "no incident was opened"),
        (timeline(DOWN.alert), None, "no record that TradingVenueDown"),
        (waiting("x; TradingBotDown"), None, "no record that TradingVenueDown"),
        (waiting(), "a new process", "there is evidence of a remediation during TradingVenueDown"),
        (
            timeline(DOWN.alert, attempt("restart_bot")),
            None,
            "restart_bot was run during TradingVenueDown",
        ),
    ],
)
async def test_whatever_was_done_or_not_reported_is_a_problem(
    timeline: TimelineView | None, seen: str | None, problem: str
) -> None:
    """And the venue is fixed in any case, after which the reconciler may act."""
    world = World(timeline)
    run = following(world, Killed(seen))
    found = await must_wait(run, soon(VENUE))
    assert found.startswith(problem)
    assert bool(found) == bool(problem)
    assert world.venue.broken == []
    assert run.key == "pid"
    assert [mark.stage for mark in run.extra][-1] == "removed"


async def test_nothing_is_broken_before_its_cause_fires() -> None:
    """Else it would be remediated, and rightly."""
    world, killed = World(waiting(), fires=False), Killed()
    assert await must_wait(following(world, killed), soon(VENUE)) == "TradingVenueDown did not fire"
    assert not killed.injected
    assert world.venue.broken == []


@pytest.mark.parametrize(
    ("cause", "why"),
    [
        (None, "does not suppress it"),
        (DOWN, "does not suppress it"),
        (replace(VENUE, drill=None), "has no drill"),
    ],
)
def test_what_it_does_not_wait_for_is_refused(cause: Runbook | None, why: str) -> None:
    """The message says what it does wait for."""
    with pytest.raises(StackError, match=f"{why}; TradingBotDown .*: TradingVenueDown"):
        cause_of(DOWN, cause)


def test_the_limit_leaves_both_their_time() -> None:
    """As long as it would be remediated in, and then what its cause may take to end."""
    run = following(World(None), Killed())
    assert run.limit == SOON
    run.during = VENUE
    assert run.limit == SOON + timedelta(seconds=90)
