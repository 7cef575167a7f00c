"""Manual actions pass the same gates as runbook steps, with these exceptions.

Checks about an incident do not apply: `unless`, flapping, silences, verification; nor does an
operator's halt. Safe actions pass all gates: a halt must never be blocked. Emergency actions pass
the fleet-wide gates: they are needed most when many targets fail.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from trading_ops.domain.decision import AttemptHistory, GlobalLimits, Reason, Wait, World
from trading_ops.domain.gates import ClosedGate, GateInput
from trading_ops.domain.runbook import RunbookStep

EMERGENCY = frozenset({"flatten_positions"})
"""Emergency actions: they take a bot out of the market."""

RESET_BUDGET = "wait, or reset its budgets: trading-ops automation reset-budget {target}"
FEWER = "wait until fewer targets fail, or use the target's service manager directly"

HOW_TO_OPEN = {
    Reason.PAUSED: "end the pause, or wait for its end",
    Reason.OBSERVE_ONLY: "set observe_only to false where the note says, then restart the process",
    Reason.MAINTENANCE: "end the window, or wait for its end",
    Reason.STORM: FEWER,
    Reason.FLEET_UNHEALTHY: FEWER,
    Reason.GLOBAL_BUDGET: RESET_BUDGET,
    Reason.ATTEMPTS_EXHAUSTED: RESET_BUDGET,
    Reason.COOLDOWN: RESET_BUDGET,
    Reason.TARGET_BUSY: "wait for its end",
    Reason.OUTCOME_UNKNOWN: "check {target} and its executor, which does not answer",
    Reason.APPROVAL_MISSING: "have another operator approve it, then repeat the command",
    Reason.APPROVAL_EXPIRED: "have another operator approve it, then repeat the command",
    Reason.APPROVAL_DENIED: "ask the operator who denied it; request it again within the hour",
    Reason.BUDGET_SPENT: "wait until it recovers, or repeat the command with --override-budget",
    Reason.TARGET_HEALTHY: "not needed: the target is healthy",
    Reason.TARGET_IMPOSTOR: "stop the process that answers in its place",
}
"""How to open each gate that can refuse a manual action."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """The closed gate, and how to open it."""

    reason: Reason
    note: str
    opens: str
    until: datetime | None = None
    """When the gate opens automatically; None: never or unknown."""


def manual_input(
    step: RunbookStep,
    target: str,
    history: AttemptHistory,
    world: World,
    limits: GlobalLimits,
    now: datetime,
) -> GateInput:
    """Return a manual action as input for the gates."""
    return GateInput(
        step=replace(step, while_halted=True),
        index=None,
        target=target,
        incident=None,
        runbook=None,
        history=history,
        world=replace(world, blocking=()),
        limits=limits,
        now=now,
        emergency=step.action in EMERGENCY,
    )


def refusal_of(closed: ClosedGate | None, target: str) -> Refusal | None:
    """Return the refusal for a closed gate."""
    if closed is None:
        return None
    return Refusal(
        reason=closed.reason,
        note=closed.note,
        opens=HOW_TO_OPEN[closed.reason].format(target=target),
        until=closed.until if isinstance(closed, Wait) else None,
    )
