"""Verifies an attempt: the runbook's query must hold on samples newer than the attempt.

The age of a sample comes from Prometheus' own clock: `time() - timestamp(series)`. The time since
the attempt ended comes from our monotonic clock. So clock skew or steps cannot make an old sample
look new, or a new one old.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from trading_ops import clock, logs
from trading_ops.clients.prometheus import Prometheus
from trading_ops.domain.attempt import Attempt, AttemptState
from trading_ops.domain.runbook import VerifyQuery, age_of, fill_query
from trading_ops.domain.target import Target
from trading_ops.errors import ClientError
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.store import attempts, failpoints
from trading_ops.store.failpoints import Failpoint
from trading_ops.store.writer import Writer

log = logs.get(__name__)

INTERVAL = timedelta(milliseconds=500)
FIRST_SAMPLE = timedelta(seconds=60)
"""Seconds that a late verification, after a restart of ours, waits for the first sample newer than
the attempt: Prometheus may be starting too."""


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """One answer of Prometheus."""

    age: float
    """Age of the oldest of the series' newest samples, in seconds; infinite without samples."""

    holds: bool
    detail: str
    """Why the query does not hold."""


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """Queries Prometheus until the query holds or the timeout ends."""

    prometheus: Prometheus
    writer: Writer
    metrics: ReconcilerMetrics
    undo: Callable[[Attempt, Target], Awaitable[str]]
    """Ends what an unverified attempt changed for a time."""

    async def verify(
        self, attempt: Attempt, verify: VerifyQuery, target: Target, until: datetime
    ) -> None:
        """Verify that the symptom is gone, and record the result.

        An attempt that did not help is undone before it is recorded, so before the next step.
        """
        held, detail = await self._hold(attempt, verify, target, until)
        if not held and (undone := await self.undo(attempt, target)):
            detail = f"{detail}; {undone}"
        state = AttemptState.VERIFIED if held else AttemptState.UNVERIFIED
        failpoints.reached(Failpoint.VERIFIED_BEFORE)
        changed = await self.writer.run(
            partial(
                attempts.finish,
                attempt=attempt,
                state=state,
                detail=detail,
                now=clock.now(),
                only_from=(AttemptState.SUCCEEDED,),
            )
        )
        failpoints.reached(Failpoint.VERIFIED_AFTER)
        if changed:
            self.metrics.attempts.labels(attempt.action, state).inc()
        log.info(
            "attempt_verified",
            attempt=attempt.id,
            incident=attempt.incident_id,
            held=held,
            detail=detail,
        )

    async def _hold(
        self, attempt: Attempt, verify: VerifyQuery, target: Target, until: datetime
    ) -> tuple[bool, str]:
        query = fill_query(verify.query, target)
        hold, now = verify.duration.total_seconds(), clock.now()
        one_try = hold + 2 * INTERVAL.total_seconds()
        ended = attempt.ended_at or attempt.started_at
        began = clock.monotonic()
        # Clamped: the wall clock may have stepped since the attempt ended.
        ended_at = began - max(0.0, (now - ended).total_seconds())
        planned = (until - ended).total_seconds()
        left = min((until - now).total_seconds(), planned)
        is_late = left < one_try <= planned
        give_up_at = began + (FIRST_SAMPLE.total_seconds() if is_late else max(left, one_try))
        since: float | None = None
        is_seen = False
        while True:
            queried_at = clock.monotonic()
            answer = await self._ask(query)
            fresh = answer.age < queried_at - ended_at
            if fresh and not is_seen:
                is_seen = True
                # Allow one full hold period; no more if it started late.
                give_up_at = (
                    queried_at + one_try if is_late else max(give_up_at, queried_at + one_try)
                )
            since = (queried_at if since is None else since) if fresh and answer.holds else None
            held = 0.0 if since is None else queried_at - since
            # The last sample must be within the hold period: one old sample is not enough.
            if since is not None and held >= hold and answer.age <= held:
                return True, f"held for {held:.1f} s"
            if queried_at >= give_up_at:
                return False, _why(answer, fresh=fresh, held=held, hold=hold)
            await asyncio.sleep(INTERVAL.total_seconds())

    async def _ask(self, query: str) -> _Answer:
        try:
            ages = await self.prometheus.query(age_of(query))
            holds = bool(await self.prometheus.query(query))
        except ClientError as error:
            problem = f"Prometheus query failed: {error}"
            return _Answer(age=float("inf"), holds=False, detail=problem)
        age = max((sample.value for sample in ages), default=float("inf"))
        detail = "" if holds else f"the query does not hold: {query}"
        return _Answer(age=age, holds=holds, detail=detail)


def _why(answer: _Answer, *, fresh: bool, held: float, hold: float) -> str:
    if not fresh and answer.age == float("inf"):
        return answer.detail or "the query's series have no samples"
    if not fresh:
        return f"no sample is newer than the attempt: the newest is {answer.age:.1f} s old"
    if answer.holds and held >= hold:
        return f"the newest sample, {answer.age:.1f} s old, is older than the hold period"
    return answer.detail or f"it held for only {held:.1f} s of {hold:g} s"
