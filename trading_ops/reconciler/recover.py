"""After a crash: attempts without an outcome are probed, never blindly done again."""

from dataclasses import dataclass, replace
from functools import partial

from trading_ops import logs
from trading_ops.actions.base import Probe
from trading_ops.domain.attempt import Attempt, AttemptState, Delivery
from trading_ops.domain.runbook import Step
from trading_ops.domain.target import Target
from trading_ops.errors import ClientError
from trading_ops.reconciler.perform import Performer
from trading_ops.store import attempts
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

log = logs.get(__name__)

OUTCOMES = {
    Probe.DONE: (AttemptState.SUCCEEDED, "found done by a probe"),
    Probe.FAILED: (AttemptState.FAILED, "found failed by a probe"),
    Probe.NOT_DONE: (AttemptState.ABANDONED, "never reached its target, and cannot any more"),
}


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """Finds out what became of attempts that nobody waits for."""

    writer: Writer
    reader: Reader
    performer: Performer

    async def adopt_orphans(self) -> int:
        """At start: whatever a former process had started is of unknown outcome now."""
        orphans = [
            attempt
            for attempt in await self.reader.read(attempts.running)
            if attempt.state is AttemptState.STARTED
        ]
        for attempt in orphans:
            await self.adopt(attempt, "the reconciler died while it ran")
        return len(orphans)

    async def adopt(self, attempt: Attempt, why: str) -> None:
        """Nobody carries this attempt out any more: its outcome is unknown until it is probed."""
        await self.performer.record(attempt, AttemptState.UNKNOWN, why)

    async def probe(self, attempt: Attempt, step: Step, target: Target) -> bool:
        """Ask the target once what became of an attempt; return whether that is known now."""
        fence = await self.writer.run(partial(attempts.raise_fence, target=attempt.target))
        call = self.performer.call(attempt, step, target)
        try:
            found = await self.performer.actions[attempt.action].probe(replace(call, fence=fence))
        except ClientError as error:
            log.info("probe_failed", attempt=attempt.id, error=str(error))
            found = Probe.UNKNOWN
        if found is Probe.UNKNOWN:
            if attempt.delivery is Delivery.ONE_SHOT:
                return False
            # It may be done again without harm, so there is nothing to wait for.
            await self.performer.record(
                attempt, AttemptState.ABANDONED, "nobody could tell; it may safely be done again"
            )
            return True
        state, detail = OUTCOMES[found]
        await self.performer.record(attempt, state, detail)
        return True
