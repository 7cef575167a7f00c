"""Crash recovery: attempts without an outcome are probed, never blindly repeated."""

from dataclasses import dataclass, replace
from functools import partial

from trading_ops import clock, logs
from trading_ops.actions.base import Probe
from trading_ops.domain.attempt import Attempt, AttemptState, Delivery
from trading_ops.domain.runbook import Step
from trading_ops.domain.target import Target
from trading_ops.errors import ClientError
from trading_ops.reconciler.execute import Performer
from trading_ops.reconciler.lease import Lease, key_of_target
from trading_ops.store import Connection, checkpoints, claims, fencing
from trading_ops.store.checkpoints import Checkpoint
from trading_ops.store.writer import Writer

log = logs.get(__name__)

OUTCOMES = {
    Probe.DONE: (AttemptState.SUCCEEDED, "a probe found that it succeeded"),
    Probe.FAILED: (AttemptState.FAILED, "a probe found that it failed"),
    Probe.NOT_DONE: (AttemptState.ABANDONED, "never reached its target and never will"),
}


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """Determines the outcome of orphaned attempts."""

    writer: Writer
    lease: Lease
    performer: Performer

    async def adopt(self, attempt: Attempt, why: str) -> None:
        """Mark an orphaned attempt as unknown until it is probed."""
        await self.performer.record(
            attempt, AttemptState.UNKNOWN, why, only_from=AttemptState.STARTED
        )
        checkpoints.reached(Checkpoint.ADOPTED)

    def _raise_fence(self, connection: Connection, attempt: Attempt) -> int | None:
        key = key_of_target(attempt.target)
        if not self.lease.alone and not claims.is_held(
            connection, self.lease.claim(key), now=clock.now()
        ):
            return None
        return fencing.raise_fence(connection, attempt.target)

    async def probe(self, attempt: Attempt, step: Step, target: Target) -> bool:
        """Probe an attempt's target once; return whether the outcome is known now."""
        fence = await self.writer.run(partial(self._raise_fence, attempt=attempt))
        if fence is None:
            return False  # another replica has taken over the target
        checkpoints.reached(Checkpoint.FENCE_RAISED)
        call = self.performer.call(attempt, step, target)
        try:
            found = await self.performer.actions[attempt.action].probe(replace(call, fence=fence))
        except ClientError as error:
            log.info("probe_failed", attempt=attempt.id, error=str(error))
            found = Probe.UNKNOWN
        if found is Probe.UNKNOWN:
            if attempt.delivery is Delivery.ONE_SHOT:
                return False
            # It is idempotent, so there is nothing to wait for.
            outcome = (AttemptState.ABANDONED, "outcome unknown; it is safe to repeat")
        else:
            outcome = OUTCOMES[found]
        checkpoints.reached(Checkpoint.PROBED)
        await self.performer.record(attempt, *outcome, only_from=AttemptState.UNKNOWN)
        return True
