"""Manual actions: through the same gates, fenced and recorded like a runbook step.

The attempt has no incident and no runbook, and is not verified: it is `completed` when the action
succeeded. After a crash it is probed from its stored row, never repeated.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from trading_ops import clock, logs
from trading_ops.actions.registry import ACTIONS
from trading_ops.clients.prometheus import Prometheus
from trading_ops.domain.approval import Approval
from trading_ops.domain.attempt import Attempt, AttemptState, DeliverySemantics
from trading_ops.domain.decision import NEEDS_APPROVAL, AttemptHistory, GlobalLimits, Reason
from trading_ops.domain.gates import GateInput, first_closed_gate
from trading_ops.domain.manual import Refusal, manual_input, refusal_of
from trading_ops.domain.runbook import LONGEST_WINDOW, RunbookStep
from trading_ops.domain.target import Registry, Target
from trading_ops.errors import ActionError, ClientError, RequestRefused
from trading_ops.reconciler.crash_recovery import AttemptRecovery
from trading_ops.reconciler.execute import AttemptRunner
from trading_ops.reconciler.lease import Leases, key_of_target
from trading_ops.reconciler.state import ReconcilerState, WorldBuilder, read_state
from trading_ops.reconciler.workqueue import Workers
from trading_ops.store import Connection, approvals, attempts, failpoints
from trading_ops.store.failpoints import Failpoint
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

OBJECTIVE = "availability"
OVERRIDE = "error budget overridden: "
"""Before the operator's reason, in the audit log."""


@dataclass(frozen=True, kw_only=True)
class ErrorBudget:
    """Asks Prometheus what is left."""

    prometheus: Prometheus

    async def spent(self, bot: str) -> str | None:
        """Return why the bot gets no new release, or None if it may."""
        selector = f'sloth_slo="{OBJECTIVE}", bot={json.dumps(bot)}'
        query = f"slo:period_error_budget_remaining:ratio{{{selector}}}"
        try:
            found = await self.prometheus.query(query)
        except ClientError as error:
            return f"the error budget of {bot} is not known: {error}"
        left = min((sample.value for sample in found if "bot" in sample.labels), default=1.0)
        if left > 0:
            return None
        used = f"{1 - left:.0%} of the last 30 days' budget"
        return f"the error budget of {bot} for {OBJECTIVE} is exhausted: {used}"


log = logs.get(__name__)

WITHIN = timedelta(minutes=1)
"""Timeout of a manual action; a runbook step has its own."""

PROBE_SECONDS = 1.0
LONGEST_TEXT = 200
ROLLS = frozenset({"roll_bot"})
"""Actions that deploy: not to a bot whose error budget is exhausted."""


@dataclass(frozen=True, kw_only=True)
class ActionOutcome:
    """The result: a started attempt, or the gate that refused it."""

    attempt: Attempt | None = None
    refusal: Refusal | None = None
    approval: Approval | None = None
    """With a refusal: the request that another operator must approve."""


@dataclass(frozen=True, kw_only=True)
class _ManualRequest:
    """One request in processing."""

    step: RunbookStep
    target: Target
    owner: str
    reason: str
    override_budget: bool = False


@dataclass(frozen=True, kw_only=True)
class ManualActions:
    """Executes manual actions."""

    writer: Writer
    reader: Reader
    registry: Registry
    leases: Leases
    workers: Workers
    runner: AttemptRunner
    recovery: AttemptRecovery
    world_builder: WorldBuilder
    limits: GlobalLimits
    budget: ErrorBudget | None = None
    """None: a spent error budget freezes nothing."""

    two_person_approval: bool = False
    """Whether manual one-shots need another operator's approval."""

    _probed_at: dict[str, float] = field(init=False, default_factory=dict)
    _starting: Counter[str] = field(init=False, default_factory=Counter)
    """Targets with a stored attempt whose job may not have started yet."""

    async def execute(
        self,
        action: str,
        target: str,
        params: Mapping[str, str],
        *,
        owner: str,
        reason: str,
        override_budget: bool = False,
    ) -> ActionOutcome:
        """Start an action, or return the closed gate; does not wait for its end.

        Args:
            action: of the catalogue.
            target: its name in targets.yml.
            params: all that the action takes.
            owner: who wants it.
            reason: why.
            override_budget: also while the error budget is exhausted; the audit log says so.

        Raises:
            RequestRefused: unknown action or target, or missing parameters.
            StoreError: it could not be stored; nothing was done.
        """
        request = self._order(action, target, params, owner, reason)
        request = replace(request, override_budget=override_budget and action in ROLLS)
        self._starting[target] += 1
        try:
            async with contextlib.AsyncExitStack() as held:
                if not await held.enter_async_context(self.leases.borrowed(target)):
                    return await self._refused(request, _held_elsewhere(target))
                return await self._start(request, held)
        finally:
            self._starting[target] -= 1

    async def _start(
        self, request: _ManualRequest, held: contextlib.AsyncExitStack
    ) -> ActionOutcome:
        gate_input, refusal = await self._gates(request)
        if refusal is not None:
            return await self._refused(request, refusal)
        start = partial(
            attempts.start, request=self._start_request(request, gate_input), now=clock.now()
        )
        failpoints.reached(Failpoint.START_BEFORE)
        attempt = await self.writer.run(start)
        if attempt is None:
            # A gate closed in between; it may even have opened again.
            _, refusal = await self._gates(request)
            return await self._refused(request, refusal or _changed(request.target.name))
        failpoints.reached(Failpoint.STARTED)
        log.info(
            "ordered",
            attempt=attempt.id,
            action=attempt.action,
            target=attempt.target,
            owner=request.owner,
        )
        # This replica keeps the target until the action has ended.
        self.workers.spawn(attempt.id, self._perform(attempt, request, held.pop_all()))
        return ActionOutcome(attempt=attempt)

    def probe_orphans(self, state: ReconcilerState) -> None:
        """Probe orphaned manual attempts; called in each pass."""
        for attempt in state.overrides.manual:
            ours = attempt.id in self.workers or f"probe:{attempt.id}" in self.workers
            target = self.registry.find(attempt.target)
            probed_at = self._probed_at.get(attempt.id, -PROBE_SECONDS)
            ours = ours or bool(self._starting[attempt.target])
            if ours or target is None or clock.monotonic() - probed_at < PROBE_SECONDS:
                continue
            self._probed_at[attempt.id] = clock.monotonic()
            self.workers.spawn(f"probe:{attempt.id}", self._probe(attempt, target))
        for key in self._probed_at.keys() - {attempt.id for attempt in state.overrides.manual}:
            del self._probed_at[key]

    def _order(
        self, action: str, target: str, params: Mapping[str, str], owner: str, reason: str
    ) -> _ManualRequest:
        kind = ACTIONS.get(action)
        if kind is None:
            raise RequestRefused(
                f"unknown action {action!r}: use one of {', '.join(sorted(ACTIONS))}"
            )
        if set(params) != kind.params:
            allowed = ", ".join(sorted(kind.params)) or "no parameters"
            raise RequestRefused(f"{action} takes {allowed}")
        found = self.registry.find(target)
        if found is None:
            raise RequestRefused(f"no target {target!r} in targets.yml")
        if found.kind not in kind.kinds:
            fits = ", ".join(sorted(kind.kinds))
            raise RequestRefused(
                f"{action} is not supported for {target}, which is of kind {found.kind}: "
                f"it is for {fits}"
            )
        for name, text in (("owner", owner), ("reason", reason)):
            if not 0 < len(text.strip()) <= LONGEST_TEXT:
                raise RequestRefused(f"{name} is required, with at most {LONGEST_TEXT} characters")
        approval = kind.two_person_approval or (
            self.two_person_approval and kind.delivery is DeliverySemantics.ONE_SHOT
        )
        step = replace(_step(action, params, kind.delivery), approval=approval)
        return _ManualRequest(step=step, target=found, owner=owner, reason=reason)

    def _start_request(
        self, request: _ManualRequest, gate_input: GateInput
    ) -> attempts.StartRequest:
        key = key_of_target(request.target.name)
        return attempts.StartRequest(
            gate_input=gate_input,
            claim=None if self.leases.alone else self.leases.claim(key),
            requested_by=request.owner,
            reason=OVERRIDE + request.reason if request.override_budget else request.reason,
        )

    async def _gates(self, request: _ManualRequest) -> tuple[GateInput, Refusal | None]:
        """Check the gates; the target is probed last, when all others are open."""
        now = clock.now()
        read = partial(_read, target=request.target.name, limits=self.limits, now=now)
        state, history = await self.reader.read(read)
        world = self.world_builder.build(request.target, state, now)
        name = request.target.name
        gate_input = manual_input(request.step, name, history, world, self.limits, now)
        refusal = refusal_of(first_closed_gate(gate_input), name)
        if refusal is not None:
            return gate_input, refusal
        spent = None
        if self.budget is not None and request.step.action in ROLLS and not request.override_budget:
            spent = await self.budget.spent(name)
        try:
            found = await self.runner.precondition(request.step, request.target)
        except ActionError as error:
            raise RequestRefused(str(error)) from error
        gate_input = replace(
            gate_input, world=replace(gate_input.world, budget_spent=spent, precondition=found)
        )
        return gate_input, refusal_of(first_closed_gate(gate_input), name)

    async def _refused(self, request: _ManualRequest, refusal: Refusal) -> ActionOutcome:
        """Record the refusal; create an approval request if only that is missing."""

        def keep(connection: Connection) -> Approval | None:
            now = clock.now()
            attempts.refuse_manual(
                connection,
                action=request.step.action,
                target=request.target.name,
                params=request.step.params,
                owner=request.owner,
                reason=request.reason,
                gate=refusal.reason,
                note=refusal.note,
                now=now,
            )
            if refusal.reason not in NEEDS_APPROVAL:
                return None
            return approvals.request(
                connection,
                incident_id=None,
                action=request.step.action,
                target=request.target.name,
                params=request.step.params,
                step=None,
                requested_by=request.owner,
                now=now,
            )

        approval = await self.writer.run(keep)
        log.info(
            "request_refused",
            action=request.step.action,
            target=request.target.name,
            owner=request.owner,
            reason=refusal.reason.value,
            note=refusal.note,
        )
        return ActionOutcome(refusal=refusal, approval=approval)

    async def _perform(
        self, attempt: Attempt, request: _ManualRequest, held: contextlib.AsyncExitStack
    ) -> None:
        async with held:
            step, reason = request.step, request.reason
            await self.runner.perform(attempt, step, request.target, reason=reason)

    async def _probe(self, attempt: Attempt, target: Target) -> None:
        async with self.leases.borrowed(attempt.target) as ours:
            if not ours:
                return  # another replica handles it
            if attempt.state is AttemptState.STARTED:
                await self.recovery.mark_unknown(attempt, "the process that ran it is gone")
            step = _step(attempt.action, attempt.params, attempt.delivery)
            await self.recovery.probe(attempt, step, target)


def _step(action: str, params: Mapping[str, str], delivery: DeliverySemantics) -> RunbookStep:
    """Return the request as a step, to execute it or probe it later."""
    return RunbookStep(
        action=action,
        params=dict(params),
        timeout=WITHIN,
        verify_within=timedelta(0),
        delivery=delivery,
    )


def _read(
    connection: Connection, *, target: str, limits: GlobalLimits, now: datetime
) -> tuple[ReconcilerState, AttemptHistory]:
    state = read_state(connection, limits=limits, now=now)
    history = AttemptHistory(
        target=tuple(attempts.of_target(connection, target, since=now - LONGEST_WINDOW)),
        everywhere=attempts.count_since(connection, now - limits.window, now=now),
    )
    return state, history


def _held_elsewhere(target: str) -> Refusal:
    note = f"another reconciler works on {target}"
    return Refusal(reason=Reason.TARGET_BUSY, note=note, opens="retry in a few seconds")


def _changed(target: str) -> Refusal:
    note = f"the state of {target} just changed"
    return Refusal(reason=Reason.TARGET_BUSY, note=note, opens="retry")
