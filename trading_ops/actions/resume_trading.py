"""Release named holds of a bot so that it trades again; needs two operators."""

from collections.abc import Mapping
from typing import ClassVar

from trading_ops.actions.base import Call
from trading_ops.actions.bot_commands import BotCommand
from trading_ops.domain.attempt import Delivery
from trading_ops.domain.target import OWN_BOTS, Kind
from trading_ops.errors import ActionError

EVERY = "all"
"""The agent's name for all holds; refused here: an approval is for the holds that were shown."""


class ResumeTrading(BotCommand):
    """Manual only. Other holds on the bot stay in force.

    At most once per attempt: a repeat could release a hold that was placed since with the same id.
    The reconciler learns of it from the bot's next report.
    """

    name: ClassVar[str] = "resume_trading"
    command: ClassVar[str] = "resume"
    delivery: ClassVar[Delivery] = Delivery.ONE_SHOT
    params: ClassVar[frozenset[str]] = frozenset({"holds"})
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
    two_persons: ClassVar[bool] = True
    by_hand_only: ClassVar[bool] = True

    def body(self, call: Call) -> Mapping[str, str]:
        """Return the holds to release, and who releases them.

        Raises:
            ActionError: no operator ordered it, or no holds are named.
        """
        if call.ordered_by is None:
            raise ActionError("only an operator can release holds")
        named = [name for part in call.params["holds"].split(",") if (name := part.strip())]
        if not named or EVERY in named:
            raise ActionError(
                "`holds` must list the ids of the holds, separated by commas; `all` is not allowed"
            )
        reason = call.reason or f"ordered as {call.attempt_id}"
        return {"holds": ",".join(named), "owner": call.ordered_by, "reason": reason}
