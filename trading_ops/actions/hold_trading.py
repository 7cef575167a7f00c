"""Actions that lay a hold on a bot: the safe direction, which passes every gate but a pause.

The hold's id is the attempt's, so laying it twice is one hold. The reconciler finds it in the bot's
next report and keeps it; it stands until a person lifts it. Its owner is who ordered it.
"""

from collections.abc import Mapping
from typing import ClassVar

from trading_ops.actions.base import Call
from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.attempt import Delivery
from trading_ops.domain.target import BOTS, Kind

OWNER = "reconciler"
"""Of what a runbook asks for: a hold that does not stop recovery, as a person's does."""


class HoldTrading(BotCommand):
    """Lays one hold through the bot's agent, which answers while the bot's own loop is stuck."""

    delivery: ClassVar[Delivery] = Delivery.SAFE_DIRECTION
    kinds: ClassVar[frozenset[Kind]] = BOTS

    def body(self, call: Call) -> Mapping[str, str]:
        """Return the hold."""
        return hold_of(call)


def hold_of(call: Call) -> Mapping[str, str]:
    """Return the hold that an attempt lays: its id, and who wants it and why."""
    step = f"a runbook's step, attempt {call.attempt_id}"
    owner, reason = OWNER, step
    if call.ordered_by is not None:
        owner, reason = call.ordered_by, call.reason or f"ordered as {call.attempt_id}"
    return {"id": call.attempt_id, "owner": owner, "reason": reason}
