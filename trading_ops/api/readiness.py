"""Readiness runs of bots from paper to live: start, approve, sign off, abort, report."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated

import msgspec

from trading_ops import clock, logs
from trading_ops.api.auth import Identity
from trading_ops.api.requests import Person, Text, conflict, invalid, not_found
from trading_ops.clients.readiness_views import Checked, CheckToRun, ReadinessRunView, SignedReport
from trading_ops.domain.approval import Approval
from trading_ops.domain.readiness import (
    CriterionResult,
    ReadinessPlan,
    ReadinessRun,
    RunChange,
    abort,
    approve,
    judge,
    refusal,
    sign_off,
    with_checks,
)
from trading_ops.domain.target import NAMED_BOTS, Registry, Target
from trading_ops.errors import RequestRefused
from trading_ops.readiness.report import PASSES, make, sign, view
from trading_ops.store import audit_chain
from trading_ops.store import readiness as stored_runs
from trading_ops.store.reader import Reader
from trading_ops.store.readiness import StoredRun
from trading_ops.store.writer import Writer

log = logs.get(__name__)

MOST_RESULTS = 100


class ReadinessRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Operator and reason."""

    reason: Text
    owner: Person | None = None


class CheckRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Results of the checks of a run."""

    checks: Annotated[list[Checked], msgspec.Meta(min_length=1, max_length=MOST_RESULTS)]
    owner: Person | None = None


class RunPage(msgspec.Struct, kw_only=True):
    """Every open run."""

    runs: list[ReadinessRunView]


class ChecksPage(msgspec.Struct, kw_only=True):
    """Checks of a run that the command line runs."""

    checks: list[CheckToRun]


class ReadinessRoutes:
    """Handlers of `readiness`."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        registry: Registry,
        plan: ReadinessPlan,
        wakeup: asyncio.Event,
        *,
        audit_key: bytes,
        two_person_approval: bool,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._registry = registry
        self._plan = plan
        self._wakeup = wakeup
        self._audit_key = audit_key
        self._two_person_approval = two_person_approval

    async def show(self) -> RunPage:
        """Return all open runs."""
        found = await self._reader.read(stored_runs.open_runs)
        return RunPage(runs=[view(stored, clock.now()) for stored in found])

    async def of(self, bot: str) -> ReadinessRunView:
        """Return a bot's open run, or else its last one."""
        return view(await self._latest(bot), clock.now())

    async def begin(self, identity: Identity, bot: str, body: ReadinessRequest) -> ReadinessRunView:
        """Begin a run with the plan of readiness.yml; one per bot at a time."""
        now, target = clock.now(), self._bot(bot)
        run = ReadinessRun(
            id=str(uuid.uuid4()),
            bot=target.name,
            begun_at=now,
            entered_at=now,
            evaluated_until=now,
        )
        actor = identity.actor(body.owner)
        change = partial(stored_runs.begin, run=run, plan=self._plan, actor=actor)
        stored = await self._writer.run(change)
        log.info("readiness_started", bot=bot, by=actor)
        self._wakeup.set()
        return view(stored, now)

    async def approve(
        self, identity: Identity, bot: str, body: ReadinessRequest
    ) -> ReadinessRunView:
        """Approve the next stage, or the current one again after a step back."""

        def enter(stored: StoredRun) -> tuple[ReadinessRun, RunChange]:
            now = clock.now()
            if why := refusal(stored.plan, stored.run, now):
                raise RequestRefused(f"{bot} cannot be approved: {why}")
            after = approve(stored.plan, stored.run, now)
            stage = stored.plan.stages[after.stage]
            note = f"{bot}: {stage.phase}/{stage.name}"
            return after, RunChange(kind="readiness_approved", note=note)

        actor = identity.actor(body.owner)
        return await self._change(
            bot, enter, actor, body.reason, approved=not self._two_person_approval
        )

    async def sign_off(
        self, identity: Identity, bot: str, body: ReadinessRequest
    ) -> ReadinessRunView:
        """Sign off: record a review of the bot, as its watch schedule requires."""

        def sign_it(stored: StoredRun) -> tuple[ReadinessRun, RunChange]:
            after = sign_off(stored.run, clock.now())
            return after, RunChange(kind="readiness_signed_off", note=bot)

        return await self._change(bot, sign_it, identity.actor(body.owner), body.reason)

    async def abort(self, identity: Identity, bot: str, body: ReadinessRequest) -> ReadinessRunView:
        """End a run; holds on the bot stay."""

        def end(stored: StoredRun) -> tuple[ReadinessRun, RunChange]:
            return abort(stored.run), RunChange(kind="readiness_aborted", note=bot)

        return await self._change(bot, end, identity.actor(body.owner), body.reason)

    async def to_check(self, bot: str) -> ChecksPage:
        """Return the checks for `trading-ops readiness check` to run."""
        stored = await self._open(bot)
        found = [
            CheckToRun(
                name=criterion.name,
                check=criterion.check,
                command=list(criterion.command),
                measures=criterion.limit is not None,
            )
            for criterion in stored.plan.criteria(stored.run.stage).values()
            if criterion.is_run_by_command
        ]
        return ChecksPage(checks=found)

    async def checked(self, identity: Identity, bot: str, body: CheckRequest) -> ReadinessRunView:
        """Record check results; the reconciler compares them with the limits."""
        actor = identity.actor(body.owner)

        def note(stored: StoredRun) -> tuple[ReadinessRun, RunChange]:
            found = {check.name: _judged(stored, check, actor) for check in body.checks}
            statuses = ", ".join(f"{name} {result.status}" for name, result in found.items())
            after = with_checks(stored.run, found)
            return after, RunChange(kind="readiness_checked", note=f"{bot}: {statuses}")

        return await self._change(bot, note, actor, "")

    async def report(self, bot: str) -> SignedReport:
        """Return the signed report of a bot's open run, or else of its last one."""
        stored = await self._latest(bot)
        head = await self._reader.read(audit_chain.newest)
        return sign(make(stored, head, clock.now()), self._audit_key)

    async def _change(
        self,
        bot: str,
        alter: Callable[[StoredRun], tuple[ReadinessRun, RunChange]],
        actor: str,
        reason: str,
        *,
        approved: bool = True,
    ) -> ReadinessRunView:
        self._bot(bot)
        change = partial(
            stored_runs.change,
            bot=bot,
            alter=alter,
            now=clock.now(),
            actor=actor,
            reason=reason,
            approved=approved,
        )
        found = await self._writer.run(change)
        if isinstance(found, Approval):
            conflict(
                "settings.yml has `two_person_approval: true`, and no other operator has "
                f"approved stage {found.params['stage']} of {bot}. Fix: have another operator run "
                f"`trading-ops approve {found.id}`, then run `trading-ops readiness approve "
                f"{bot}` again"
            )
        log.info("readiness_changed", bot=bot, stage=found.run.stage, by=actor)
        self._wakeup.set()
        return view(found, clock.now())

    async def _open(self, bot: str) -> StoredRun:
        self._bot(bot)
        found = await self._reader.read(partial(stored_runs.find, bot=bot))
        if found is None:
            not_found(f"{bot} has no open run: start one with `trading-ops readiness begin {bot}`")
        return found

    async def _latest(self, bot: str) -> StoredRun:
        self._bot(bot)
        found = await self._reader.read(partial(stored_runs.latest, bot=bot))
        if found is None:
            not_found(f"{bot} has no run: start one with `trading-ops readiness begin {bot}`")
        return found

    def _bot(self, name: str) -> Target:
        target = self._registry.find(name)
        if target is None:
            not_found("unknown target: no such name in targets.yml")
        if target.kind not in NAMED_BOTS:
            invalid(f"{name} is not a bot but of kind {target.kind}")
        return target


def _judged(stored: StoredRun, check: Checked, actor: str) -> CriterionResult:
    criterion = stored.plan.criteria(stored.run.stage).get(check.name)
    if criterion is None or not criterion.is_run_by_command:
        raise RequestRefused(f"{check.name!r} is not a check of this stage")
    judged = criterion if criterion.limit else replace(criterion, limit=PASSES)
    return judge(judged, check.value, f"{check.evidence} (run by {actor})", clock.now())
