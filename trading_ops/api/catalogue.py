"""Runbooks as loaded, actions, and running an action manually."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated

import msgspec
from aiohttp import web

from trading_ops.actions.registry import ACTIONS
from trading_ops.api.auth import Identity, Role
from trading_ops.api.requests import PLAIN, Key, Person, Text, invalid, not_found
from trading_ops.domain.approval import Approval
from trading_ops.domain.attempt import Attempt, DeliverySemantics
from trading_ops.domain.runbook import Runbook
from trading_ops.domain.target import BOTS
from trading_ops.reconciler.manual_actions import ActionOutcome, ManualActions
from trading_ops.reconciler.runbook_index import RunbookIndex

Value = Annotated[str, msgspec.Meta(max_length=200, pattern=PLAIN)]


class StepView(msgspec.Struct, kw_only=True):
    """One step of a runbook."""

    action: str
    params: dict[str, str]
    delivery: DeliverySemantics
    timeout_seconds: float
    verify_within_seconds: float
    approval: bool
    while_halted: bool


class RunbookView(msgspec.Struct, kw_only=True):
    """A runbook's plan."""

    alert: str
    target_label: str
    page_after: str
    observe_only: bool
    steps: list[StepView]
    cooldown_seconds: float
    attempts: int
    window_seconds: float
    unless: list[str]
    verify: str | None
    """The PromQL query that must hold; null: page-only."""

    verify_for_seconds: float | None
    drill: str | None
    """The fault that the drill injects."""


class RunbookPage(msgspec.Struct, kw_only=True):
    """All runbooks, by alert."""

    runbooks: list[RunbookView]


class RunbookText(msgspec.Struct, kw_only=True):
    """One runbook: the plan and the whole file."""

    plan: RunbookView
    markdown: str


class ActionView(msgspec.Struct, kw_only=True):
    """One action of the catalogue."""

    name: str
    summary: str
    delivery: DeliverySemantics
    params: list[str]
    """Parameters: all of these and no others."""

    role: Role
    """Role needed to run it manually."""


class ActionPage(msgspec.Struct, kw_only=True):
    """All actions, by name."""

    actions: list[ActionView]


class ActionRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Target, parameters and reason."""

    target: Key
    params: dict[str, Value] = {}
    reason: Text
    owner: Person | None = None
    override_budget: bool = False
    """Roll a bot although its error budget is exhausted; recorded with the reason."""


class RefusalView(msgspec.Struct, kw_only=True):
    """The closed gate, and how to open it."""

    reason: str
    note: str
    opens: str
    until: datetime | None


class ActionOutcomeView(msgspec.Struct, kw_only=True):
    """The result: a started attempt, or the gate that refused it."""

    attempt: Attempt | None
    refusal: RefusalView | None
    approval: Approval | None
    """With a refusal: the request that another operator must approve."""


class CatalogueRoutes:
    """Handlers of `runbooks` and `actions`."""

    def __init__(
        self,
        index: RunbookIndex,
        texts: Mapping[str, str],
        manual: ManualActions,
        count_admin: Callable[[str], None] = lambda _action: None,
    ) -> None:
        """Use these.

        Args:
            index: of the runbooks.
            texts: each runbook's text by alert, as loaded together with its plan.
            manual: runs actions.
            count_admin: called with the name of each action that an admin runs.
        """
        self._runbooks = {name: _runbook(book) for name, book in sorted(index.runbooks.items())}
        self._texts = texts
        self._manual = manual
        self._count_admin = count_admin
        self._registry = index.registry

    async def runbooks(self) -> RunbookPage:
        """Return every runbook's plan."""
        return RunbookPage(runbooks=list(self._runbooks.values()))

    async def runbook(self, alert: str) -> RunbookText:
        """Return one runbook: the plan and the Markdown."""
        plan = self._runbooks.get(alert)
        if plan is None:
            not_found("no runbook for this alert")
        return RunbookText(plan=plan, markdown=self._texts.get(alert, ""))

    async def actions(self) -> ActionPage:
        """Return every action with its class and parameters."""
        return ActionPage(actions=[_action(name) for name in sorted(ACTIONS)])

    async def execute(
        self, identity: Identity, name: str, body: ActionRequest
    ) -> ActionOutcomeView:
        """Run an action manually, through the same gates as a runbook step."""
        if name not in ACTIONS:
            not_found(f"unknown action: use one of {', '.join(sorted(ACTIONS))}")
        if set(body.params) != ACTIONS[name].params:
            wanted = ", ".join(sorted(ACTIONS[name].params)) or "none"
            invalid(f"`params` must be exactly: {wanted}")
        target = self._registry.find(body.target)
        if target is not None and target.kind not in BOTS:
            invalid(f"`target` must be a bot: {target.name} is of kind {target.kind}")
        role = role_of_action(name)
        if not identity.may(role):
            raise web.HTTPForbidden(text=f"a one-shot action needs the role {Role.ADMIN}")
        if role is Role.ADMIN:
            self._count_admin(name)
        outcome = await self._manual.execute(
            name,
            body.target,
            body.params,
            owner=identity.actor(body.owner),
            reason=body.reason,
            override_budget=body.override_budget,
        )
        return _order(outcome)


def _order(outcome: ActionOutcome) -> ActionOutcomeView:
    refusal = outcome.refusal
    return ActionOutcomeView(
        attempt=outcome.attempt,
        refusal=None
        if refusal is None
        else RefusalView(
            reason=refusal.reason.value,
            note=refusal.note,
            opens=refusal.opens,
            until=refusal.until,
        ),
        approval=outcome.approval,
    )


def role_of_action(name: str) -> Role:
    """Return the role that is needed to run an action manually."""
    return Role.ADMIN if ACTIONS[name].delivery is DeliverySemantics.ONE_SHOT else Role.OPERATOR


def _action(name: str) -> ActionView:
    kind = ACTIONS[name]
    return ActionView(
        name=name,
        summary=(kind.__doc__ or "").split("\n\n")[0],
        delivery=kind.delivery,
        params=sorted(kind.params),
        role=role_of_action(name),
    )


def _runbook(book: Runbook) -> RunbookView:
    return RunbookView(
        alert=book.alert,
        target_label=book.target_label,
        page_after=book.page_after,
        observe_only=book.observe_only,
        steps=[
            StepView(
                action=step.action,
                params=dict(step.params),
                delivery=step.delivery,
                timeout_seconds=step.timeout.total_seconds(),
                verify_within_seconds=step.verify_within.total_seconds(),
                approval=step.approval,
                while_halted=step.while_halted,
            )
            for step in book.steps
        ],
        cooldown_seconds=book.limits.cooldown.total_seconds(),
        attempts=book.limits.attempts,
        window_seconds=book.limits.window.total_seconds(),
        unless=list(book.unless),
        verify=book.verify.query if book.verify else None,
        verify_for_seconds=book.verify.duration.total_seconds() if book.verify else None,
        drill=book.drill.fault if book.drill else None,
    )
