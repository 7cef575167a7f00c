"""Success is the runbook's query holding, on samples newer than the attempt; nothing else is."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from trading_ops import checkpoints, clock, logs
from trading_ops.checkpoints import Checkpoint
from trading_ops.clients.prometheus import Prometheus
from trading_ops.domain.attempt import Attempt, AttemptState
from trading_ops.domain.runbook import VerifyQuery, fill_query
from trading_ops.domain.target import Kind, Target
from trading_ops.errors import ClientError
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.store import attempts
from trading_ops.store.writer import Writer

log = logs.get(__name__)

INTERVAL = timedelta(milliseconds=500)
FRESHNESS = {
    Kind.BOT: 'min(timestamp(up{job="trading-bot",bot="$bot"}))',
    Kind.FREQTRADE: 'min(timestamp(up{job="trading-bot",bot="$bot"}))',
    Kind.VENUE: 'min(timestamp(trading_venue_up{venue="$target"}))',
}
"""When the target was last scraped, by its kind: a sample from before the cure proves nothing."""


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """Asks Prometheus until it holds, or time is up."""

    prometheus: Prometheus
    writer: Writer
    metrics: ReconcilerMetrics

    async def verify(
        self, attempt: Attempt, verify: VerifyQuery, target: Target, until: datetime
    ) -> None:
        """Find out whether the symptom is gone, and write it down."""
        held, detail = await self._hold(attempt, verify, target, until)
        state = AttemptState.VERIFIED if held else AttemptState.UNVERIFIED
        checkpoints.reached(Checkpoint.VERIFIED_BEFORE)
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
        checkpoints.reached(Checkpoint.VERIFIED_AFTER)
        if changed:
            self.metrics.attempts.labels(attempt.action, state).inc()
        log.info("attempt_verified", attempt=attempt.id, held=held, detail=detail)

    async def _hold(
        self, attempt: Attempt, verify: VerifyQuery, target: Target, until: datetime
    ) -> tuple[bool, str]:
        query = fill_query(verify.query, target)
        # A verification that begins late, after a restart of ours, still gets one fair try.
        until = max(until, clock.now() + verify.hold + 2 * INTERVAL)
        ended = attempt.ended_at or attempt.started_at
        since: datetime | None = None
        detail = "never asked"
        while True:
            asked = clock.now()
            holds, detail = await self._once(query, target, ended)
            since = (since or asked) if holds else None
            if since is not None and asked - since >= verify.hold:
                return True, f"held for {(asked - since).total_seconds():.1f} s"
            if asked >= until:
                return False, detail
            await asyncio.sleep(INTERVAL.total_seconds())

    async def _once(self, query: str, target: Target, ended: datetime) -> tuple[bool, str]:
        """Return whether the query holds on fresh samples, and what to say if it does not."""
        try:
            if not await self._is_fresh(target, ended):
                return False, "no sample is newer than the attempt"
            holds = bool(await self.prometheus.query(query))
        except ClientError as error:
            return False, f"Prometheus could not tell: {error}"
        return holds, "" if holds else f"it does not hold: {query}"

    async def _is_fresh(self, target: Target, ended: datetime) -> bool:
        query = FRESHNESS.get(target.kind)
        if query is None:
            return True
        samples = await self.prometheus.query(fill_query(query, target))
        return bool(samples) and samples[0].value > ended.timestamp()
