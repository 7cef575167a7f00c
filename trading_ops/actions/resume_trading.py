"""Lift holds of a bot by name, so that it trades again: a person's word, and a second person's."""

from collections.abc import Mapping
from typing import ClassVar

from trading_ops.actions.base import Call
from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.attempt import Delivery
from trading_ops.domain.target import OWN_BOTS, Kind
from trading_ops.errors import ActionError

EVERY = "all"
"""The agent's word for whatever stands: an approval is for what was seen."""


class ResumeTrading(BotCommand):
    """Never a runbook's step. What else holds the bot goes on holding it.

    At most once for each attempt: done again it would lift what was laid since under the same
    name. The reconciler learns of it from the bot's next report.
    """

    name: ClassVar[str] = "resume_trading"
    command: ClassVar[str] = "resume"
    delivery: ClassVar[Delivery] = Delivery.ONE_SHOT
    params: ClassVar[frozenset[str]] = frozenset({"holds"})
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
    two_persons: ClassVar[bool] = True
    by_hand_only: ClassVar[bool] = True

    def body(self, call: Call) -> Mapping[str, str]:
        """Return which holds, and who lifts them.

        Raises:
            ActionError: no person ordered it, or not which.
        """
        if call.ordered_by is None:
            raise ActionError("only a person lifts holds")
        named = [name for part in call.params["holds"].split(",") if (name := part.strip())]
        if not named or EVERY in named:
            raise ActionError("name the holds to lift, separated by commas: `all` is no name")
        reason = call.reason or f"ordered as {call.attempt_id}"
        return {"holds": ",".join(named), "owner": call.ordered_by, "reason": reason}
