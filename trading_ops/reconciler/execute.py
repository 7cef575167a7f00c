"""Executes one attempt, whose `started` is already committed, and records the outcome."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from trading_ops import clock, logs
from trading_ops.actions.base import Action, Call, Clients, Undoable, find_impostor
from trading_ops.backoff import full_jitter
from trading_ops.domain.attempt import Attempt, AttemptId, AttemptState, DeliverySemantics
from trading_ops.domain.durations import format_duration
from trading_ops.domain.runbook import RunbookStep
from trading_ops.domain.target import Target
from trading_ops.errors import ActionError, FencedOff, Refused, TradingOpsError, Unreachable
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.services.last_lines import bounded
from trading_ops.store import attempts, failpoints, leases
from trading_ops.store.failpoints import Failpoint
from trading_ops.store.writer import Writer

log = logs.get(__name__)

RETRY_BASE = timedelta(milliseconds=250)
RETRY_CAP = timedelta(seconds=5)
UNDO_WITHIN = timedelta(seconds=5)


@dataclass(frozen=True, kw_only=True)
class AttemptRunner:
    """Runs the action of a started attempt, retries idempotent ones, and stores the outcome."""

    clients: Clients
    actions: Mapping[str, Action]
    writer: Writer
    metrics: ReconcilerMetrics
    adopted: set[tuple[str, str]] = field(default_factory=set)
    """Targets and actions whose executor's fence was adopted; a target may have several."""

    may_start: Callable[[str], bool]
    """Whether this replica may still start an action on a target."""

    def call(
        self, attempt: Attempt, step: RunbookStep, target: Target, *, reason: str = ""
    ) -> Call:
        """Return the attempt as a `Call` for its action."""
        return Call(
            attempt_id=attempt.id,
            fence=attempt.fence,
            target=target,
            params=step.params,
            within=step.timeout,
            requested_by=attempt.requested_by,
            reason=reason,
        )

    async def precondition(self, step: RunbookStep, target: Target) -> str | None:
        """Probe the target of a one-shot; return why it must not run now, or None.

        No action runs on a target for which another process answers.
        """
        if step.delivery is not DeliverySemantics.ONE_SHOT:
            return None
        call = Call(
            attempt_id=AttemptId(""),
            fence=0,
            target=target,
            params=step.params,
            within=step.timeout,
        )
        found, other = await asyncio.gather(
            self.actions[step.action].precondition(call), find_impostor(self.clients, target)
        )
        if other is None:
            return found
        self.metrics.security.impostors.inc()
        return other

    async def perform(
        self, attempt: Attempt, step: RunbookStep, target: Target, *, reason: str = ""
    ) -> None:
        """Run it once, or retry idempotent actions until the timeout, and record the outcome.

        Args:
            attempt: as stored.
            step: the step to run.
            target: its target.
            reason: the operator's reason, if manual.
        """
        call = self.call(attempt, step, target, reason=reason)
        if self.may_start(attempt.target):
            state, detail = await self._outcome(attempt, call, step)
        else:
            state, detail = AttemptState.ABANDONED, "the lease expired before the request was sent"
        failpoints.reached(Failpoint.OUTCOME_BEFORE)
        await self.record(
            attempt, state, detail, only_from=AttemptState.STARTED, last_lines=call.log
        )
        failpoints.reached(Failpoint.OUTCOME_AFTER)

    async def undo(self, attempt: Attempt, target: Target) -> str:
        """End what an attempt that did not help changed for a time; return what was done.

        Empty: it changed nothing that lasts. A change that cannot be ended now ends at its time.
        """
        action = self.actions[attempt.action]
        if not isinstance(action, Undoable) or not self.may_start(attempt.target):
            return ""
        call = Call(
            attempt_id=attempt.id,
            fence=attempt.fence,
            target=target,
            params=attempt.params,
            within=UNDO_WITHIN,
        )
        try:
            async with asyncio.timeout(UNDO_WITHIN.total_seconds()):
                return f"undone: {await _retry(action.undo, call)}"
        except (TradingOpsError, TimeoutError) as error:
            why = str(error) or f"no answer within {format_duration(UNDO_WITHIN)}"
            log.warning("attempt_not_undone", attempt=attempt.id, reason=why)
            return f"not undone, it ends at its time: {why}"

    async def record(
        self,
        attempt: Attempt,
        state: AttemptState,
        detail: str,
        *,
        only_from: AttemptState,
        last_lines: Sequence[str] = (),
    ) -> None:
        """Record an outcome, unless another process already did.

        `last_lines` is what the process that the attempt restarted logged last.

        The executing process changes the state from `started`, a probing one from `unknown`: the
        result of a process that was frozen in the meantime is ignored.
        """
        if attempt.incident_id is None and state is AttemptState.SUCCEEDED:
            state = AttemptState.COMPLETED  # manual: there is no query to verify it
        changed = await self.writer.run(
            partial(
                attempts.finish,
                attempt=attempt,
                state=state,
                detail=detail,
                now=clock.now(),
                only_from=(only_from,),
                log=bounded(last_lines),
            )
        )
        if not changed:
            return  # another process was first
        self.metrics.attempts.labels(attempt.action, state).inc()
        log.info(
            "attempt_ended",
            attempt=attempt.id,
            incident=attempt.incident_id,
            action=attempt.action,
            target=attempt.target,
            outcome=state.value,
            detail=detail,
        )

    async def _outcome(
        self, attempt: Attempt, call: Call, step: RunbookStep
    ) -> tuple[AttemptState, str]:
        once = step.delivery is DeliverySemantics.ONE_SHOT
        try:
            async with asyncio.timeout(step.timeout.total_seconds()):
                act = self.actions[step.action].perform
                failpoints.reached(Failpoint.EFFECT_BEFORE)
                detail = await (act(call) if once else _retry(act, call))
                failpoints.reached(Failpoint.EFFECT_AFTER)
        except FencedOff as error:
            return await self._fenced_off(attempt, error)
        except (ActionError, Refused) as error:
            return AttemptState.FAILED, str(error)
        except (Unreachable, TimeoutError) as error:
            detail = str(error) or f"no answer within {format_duration(step.timeout)}"
        except Exception as error:  # a bug in an action must not stop the loop
            log.exception("action_crashed", action=step.action)
            detail = f"{error.__class__.__name__}: {error}"
        else:
            return AttemptState.SUCCEEDED, detail
        # The outcome is unknown. Idempotent actions continue; one-shots are probed.
        return (AttemptState.UNKNOWN if once else AttemptState.FAILED), detail

    async def _fenced_off(self, attempt: Attempt, error: FencedOff) -> tuple[AttemptState, str]:
        """Distinguish a stale request from a database that is older than its executors.

        The latter is fixed once per target, action and process: otherwise two reconcilers that do
        not share a database would raise fences forever.
        """
        if error.highest - attempt.fence > leases.MOST_AHEAD:
            detail = f"refused: the executor has fence {error.highest}, ours is {attempt.fence}"
            return (
                AttemptState.FAILED,
                f"{detail}. Fix: remove the executor's fence.json, restart it",
            )
        key = attempt.target, attempt.action
        if key not in self.adopted:
            adopt = partial(
                leases.adopt_fence, attempt=attempt, highest=error.highest, now=clock.now()
            )
            if await self.writer.run(adopt):
                self.adopted.add(key)
                detail = f"fenced off at {error.highest}; the fence was raised above it"
                return AttemptState.ABANDONED, detail
        return AttemptState.FAILED, str(error)


async def _retry(act: Callable[[Call], Awaitable[str]], call: Call) -> str:
    tries = 0
    while True:
        try:
            return await act(call)
        except Unreachable as error:
            fraction = random.random()  # noqa: S311 - jitter, not cryptographic
            wait = full_jitter(tries, base=RETRY_BASE, cap=RETRY_CAP, fraction=fraction)
            log.info("attempt_retried", attempt=call.attempt_id, tries=tries + 1, error=str(error))
            tries += 1
            await asyncio.sleep(wait.total_seconds())
