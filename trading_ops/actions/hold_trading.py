"""Actions that place a hold on a bot: safe actions, which pass every gate except a pause.

The hold's id is the attempt's, so a repeat is the same hold. The reconciler finds it in the bot's
next report and stores it; it stays until an operator releases it. Its owner is the one who
ordered it.
"""

from collections.abc import Mapping
from typing import ClassVar

from trading_ops.actions.base import Call
from trading_ops.actions.bot_commands import BotCommand
from trading_ops.domain.attempt import Delivery
from trading_ops.domain.target import BOTS, Kind

OWNER = "reconciler"
"""Owner of holds by runbooks, which, unlike operators' holds, do not suppress remediation."""


class HoldTrading(BotCommand):
    """Places one hold through the bot's agent, which answers even if the bot's loop is stuck."""

    delivery: ClassVar[Delivery] = Delivery.SAFE_DIRECTION
    kinds: ClassVar[frozenset[Kind]] = BOTS

    def body(self, call: Call) -> Mapping[str, str]:
        """Return the hold."""
        return hold_of(call)


def hold_of(call: Call) -> Mapping[str, str]:
    """Return the hold of an attempt: id, owner and reason."""
    step = f"a runbook's step, attempt {call.attempt_id}"
    owner, reason = OWNER, step
    if call.ordered_by is not None:
        owner, reason = call.ordered_by, call.reason or f"ordered as {call.attempt_id}"
    return {"id": call.attempt_id, "owner": owner, "reason": reason}


class HaltTrading(HoldTrading):
    """Halt the bot: no new or amended orders; cancels and queries still work.

    For a bot whose view of the market or of its own orders cannot be trusted.
    """

    name: ClassVar[str] = "halt_trading"
    command: ClassVar[str] = "halt"


class ReduceTrading(HoldTrading):
    """Put the bot in reduce-only mode: only orders that reduce its exposure.

    For a bot that should wind down its positions and open no new ones.
    """

    name: ClassVar[str] = "reduce_trading"
    command: ClassVar[str] = "reduce"
