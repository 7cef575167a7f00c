"""A person's order of one action, held against the same gates as a runbook's step.

What belongs to an incident does not apply: `unless`, flapping, silences, verification. Nor does a
person's halt, for it is a person who asks. A step in the safe direction passes everything: whoever
orders a halt must not have to look for a key first. An emergency action passes the gates of the
fleet: it is wanted most when many targets fail.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from trading_ops.domain.decision import GlobalLimits, History, Reason, Wait, World
from trading_ops.domain.gates import Shut, Wanted
from trading_ops.domain.runbook import Step

EMERGENCY = frozenset({"flatten_positions"})
"""Actions that get a bot out of the market."""

RESET_BUDGET = "wait, or reset its budgets: trading-ops automation reset-budget {target}"
FEWER = "wait until fewer targets fail, or use the target's own service manager by hand"

OPENS = {
    Reason.PAUSED: "lift the pause, or wait for its end",
    Reason.OBSERVE_ONLY: "set observe_only to false where the note says, then start it anew",
    Reason.MAINTENANCE: "end the window, or wait for its end",
    Reason.STORM: FEWER,
    Reason.FLEET_UNHEALTHY: FEWER,
    Reason.GLOBAL_BUDGET: RESET_BUDGET,
    Reason.ATTEMPTS_EXHAUSTED: RESET_BUDGET,
    Reason.COOLDOWN: RESET_BUDGET,
    Reason.TARGET_BUSY: "wait for its end",
    Reason.OUTCOME_UNKNOWN: "look at {target} and its executor, which does not answer",
    Reason.APPROVAL_MISSING: "have somebody else approve it, then order it again",
    Reason.APPROVAL_EXPIRED: "have somebody else approve it, then order it again",
    Reason.APPROVAL_DENIED: "talk to whoever denied it; within the hour it can be asked again",
    Reason.TARGET_HEALTHY: "nothing: a target that is well is left alone",
    Reason.TARGET_IMPOSTOR: "end the process that answers in its place",
}
"""How each gate that can refuse an order is opened."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Which gate is shut, and how to open it."""

    reason: Reason
    note: str
    opens: str
    until: datetime | None = None
    """When the gate opens by itself; None: not by itself, or nobody knows."""


def wanted_by_hand(
    step: Step, target: str, history: History, world: World, limits: GlobalLimits, now: datetime
) -> Wanted:
    """Return a manual action as the gates take it."""
    return Wanted(
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


def refusal_of(said: Shut | None, target: str) -> Refusal | None:
    """Say of a closed gate how it is opened."""
    if said is None:
        return None
    return Refusal(
        reason=said.reason,
        note=said.note,
        opens=OPENS[said.reason].format(target=target),
        until=said.until if isinstance(said, Wait) else None,
    )
