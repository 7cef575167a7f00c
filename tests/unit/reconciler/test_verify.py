"""Verification in time: by a clock that may have stepped, and beside a Prometheus that starts."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from tests.builders import make_attempt, make_registry
from trading_ops import clock
from trading_ops.clients.prometheus import Sample
from trading_ops.domain.runbook import VerifyQuery
from trading_ops.domain.target import Target
from trading_ops.errors import Unreachable
from trading_ops.reconciler.verify import Verifier

SOON = timedelta(milliseconds=50)
PLANNED = timedelta(seconds=2)


@dataclass
class Shown:
    """What Prometheus shows: ages of samples and, in turn, whether the query holds."""

    away: int = 0
    """How many times it does not answer at first."""

    ages: tuple[float, ...] = (0.0,)
    holds: list[bool] = field(default_factory=list)
    """In turn; then it holds."""

    async def query(self, expression: str) -> list[Sample]:
        if self.away:
            self.away -= 1
            raise Unreachable("it starts")
        if "timestamp(" in expression:
            return [Sample(labels={}, value=age) for age in self.ages]
        holds = self.holds.pop(0) if self.holds else True
        return [Sample(labels={}, value=1)] if holds else []


async def verify(
    shown: Shown, *, ended: timedelta, hold: timedelta = SOON, planned: timedelta = PLANNED
) -> tuple[bool, str]:
    """Verify an attempt that ended so long ago by the wall clock, within a minute."""
    alpha = cast("Target", make_registry().find("alpha"))
    anything = cast("Any", None)
    verifier = Verifier(
        prometheus=cast("Any", shown), writer=anything, metrics=anything, undo=anything
    )
    at = clock.now() - ended
    attempt = make_attempt(started_at=at, ended_at=at)
    query = VerifyQuery(query='ok{bot="$bot"} == 1', duration=hold)
    async with asyncio.timeout(60):
        return await verifier._hold(attempt, query, alpha, at + planned)


async def test_a_late_verification_waits_for_the_first_sample() -> None:
    """After a restart of everything Prometheus may be the last to answer."""
    held, detail = await verify(Shown(away=4), ended=timedelta(minutes=5))
    assert held, detail


async def test_a_clock_that_stepped_back_blocks_nothing() -> None:
    """The attempt then ended in the future; it gets the time that was planned, and no hour more."""
    held, detail = await verify(Shown(holds=[False] * 100), ended=-timedelta(hours=1))
    assert not held
    assert "does not hold" in detail
    held, detail = await verify(Shown(), ended=-timedelta(hours=1))
    assert held, detail


async def test_an_old_sample_is_not_fresh() -> None:
    """Of several series the oldest counts, by the clock of Prometheus alone."""
    held, detail = await verify(Shown(ages=(0.0, 3600.0)), ended=timedelta())
    assert not held
    assert "3600.0 s old" in detail
    held, detail = await verify(Shown(ages=()), ended=timedelta())
    assert not held
    assert "no samples" in detail


async def test_one_sample_holds_nothing() -> None:
    """The last sample must be newer than the start of the hold."""
    held, detail = await verify(Shown(ages=(30.0,)), ended=timedelta(seconds=31))
    assert not held
    assert detail


async def test_a_hold_that_is_too_short_is_named() -> None:
    """`unverified` always has its reason."""
    flapping = Shown(holds=[True, False] * 100)
    held, detail = await verify(flapping, ended=timedelta(), hold=timedelta(seconds=1.5))
    assert not held
    assert detail
