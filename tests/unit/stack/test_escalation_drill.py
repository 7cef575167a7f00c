"""An escalation drill passes only if the steps fail and the incident is escalated."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.stack.test_drill_checks import BOOKS
from tests.unit.stack.timelines import AT, attempt, timeline
from trading_ops.clients.reconciler_views import AttemptView, IncidentView, TimelineView
from trading_ops.domain.target import Target
from trading_ops_lab.drills import escalation_drill
from trading_ops_lab.drills.drill_run import Following
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.base import Fault

DRIFT = BOOKS["TradingBotPositionDrift"]
SOON = timedelta(milliseconds=300)
TRIED = [attempt("reconcile_positions", "idempotent")] * 2


class Owed(Fault):
    """A fault that an operator settles, if the world lets them."""

    describe = "owed"
    needs_operator = True
    expected_failures = frozenset({"reconcile_positions"})

    def __init__(self, seen: str | None) -> None:
        """Take what the evidence says."""
        self._seen = seen
        self.settled: list[str] = []

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Break nothing."""
        del scene, bot
        return ""

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Settle it."""
        del bot
        self.settled.append(key)
        cast(World, scene).settle()

    async def evidence(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Return what was given; it must be asked before anything is settled."""
        del scene, bot, since
        assert self.settled == []
        return self._seen


class World:
    """A stack with one incident."""

    def __init__(
        self, attempts: Sequence[AttemptView], *, escalated: bool, closed: bool, settles: bool
    ) -> None:
        """Take how far the incident is, and whether settling closes it."""
        self.runbooks = BOOKS
        self.reconciler = self.prometheus = self
        self._timeline = timeline(DRIFT.alert, *attempts)
        self._timeline.incident.escalated_at = AT if escalated else None
        self._timeline.incident.closed_at = AT if closed else None
        self._settles = settles

    def settle(self) -> None:
        """Close it."""
        if self._settles:
            self._timeline.incident.closed_at = AT

    async def incidents(self, **filters: str) -> list[IncidentView]:
        """Return the one."""
        del filters
        return [self._timeline.incident]

    async def timeline(self, key: str) -> TimelineView:
        """Return the one."""
        del key
        return self._timeline

    async def view(self) -> object:
        """Nothing is asked of it here."""
        return SimpleNamespace(alerts={})


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(escalation_drill, "HOLD_SECONDS", 0.0)


def following(world: World, fault: Fault) -> Following:
    """Return a drill under way that does not last."""
    assert DRIFT.drill is not None
    return Following(
        scene=cast(Any, world),
        runbook=DRIFT,
        drill=replace(DRIFT.drill, recover_within=SOON),
        fault=fault,
        bot=cast(Any, SimpleNamespace(name="alpha", venue="paper")),
        say=lambda _mark: None,
        key="what is owed",
    )


@pytest.mark.parametrize(
    ("attempts", "world", "seen", "problem"),
    [
        (TRIED, {}, "the journal", ""),
        (TRIED, {"escalated": False}, "the journal", "it was not escalated"),
        (TRIED, {"escalated": False, "closed": True}, "the journal", "it ended without escalation"),
        (
            TRIED,
            {"closed": True},
            "the journal",
            "it ended without a fix, after it was escalated",
        ),
        (TRIED, {}, None, "no evidence that nothing else was done"),
        (
            [*TRIED, attempt("restart_bot")],
            {},
            "the journal",
            "restart_bot was run for TradingBotPositionDrift",
        ),
        (
            [*TRIED, TRIED[0]],
            {},
            "the journal",
            "3 attempts for TradingBotPositionDrift, which has 2 steps",
        ),
        (TRIED, {"settles": False}, "the journal", "it did not end after it was fixed"),
    ],
)
async def test_steps_in_vain_and_then_a_person(
    attempts: list[AttemptView], world: dict[str, bool], seen: str | None, problem: str
) -> None:
    """Whatever else happens is a failure; and it is settled once at most."""
    fault = Owed(seen)
    broken = World(attempts, **{"escalated": True, "closed": False, "settles": True} | world)
    run = following(broken, fault)
    result = await escalation_drill.must_be_escalated(run)
    assert (result.passed, result.problem) == (not problem, problem)
    assert result.escalated
    assert fault.settled in ([], ["what is owed"])
    assert bool(run.key) != bool(fault.settled), "the drill cleans up what was not settled"
    assert result.evidence == (seen if result.passed else "")
