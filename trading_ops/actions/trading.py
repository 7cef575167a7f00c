"""Actions that restrict, end or resume trading.

Halt and reduce are safe actions, which pass every gate except a pause. The hold that one places has
the attempt's id, so a repeat is the same hold. The reconciler finds it in the bot's next report and
stores it; it stays until an operator releases it. Its owner is the operator who requested it.
Flattening and resuming need two operators.
"""

from collections.abc import Mapping
from typing import ClassVar

from trading_ops.actions.base import Call, Probe
from trading_ops.actions.bot_commands import BotCommand
from trading_ops.domain.attempt import DeliverySemantics
from trading_ops.domain.hold import RECONCILER
from trading_ops.domain.target import BOTS, OWN_BOTS, Kind
from trading_ops.errors import ActionError


class HoldTrading(BotCommand):
    """Places one hold through the bot's agent, which answers even if the bot's loop is stuck."""

    delivery: ClassVar[DeliverySemantics] = DeliverySemantics.SAFE_DIRECTION
    kinds: ClassVar[frozenset[Kind]] = BOTS

    def body(self, call: Call) -> Mapping[str, str]:
        """Return the hold."""
        return hold_of(call)


def hold_of(call: Call) -> Mapping[str, str]:
    """Return the hold of an attempt: id, owner and reason."""
    step = f"a runbook's step, attempt {call.attempt_id}"
    owner, reason = RECONCILER, step
    if call.requested_by is not None:
        owner, reason = call.requested_by, call.reason or f"request {call.attempt_id}"
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


class FlattenPositions(BotCommand):
    """Closes all positions of a Freqtrade: halts, exits at market, checks, then stops it.

    It stays halted even if a later step fails.
    """

    name: ClassVar[str] = "flatten_positions"
    command: ClassVar[str] = "flatten"
    delivery: ClassVar[DeliverySemantics] = DeliverySemantics.ONE_SHOT
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.FREQTRADE})
    two_person_approval: ClassVar[bool] = True

    def body(self, call: Call) -> Mapping[str, str]:
        """Return the hold that the first step places."""
        return hold_of(call)

    async def probe(self, call: Call) -> Probe:
        """Count open positions: it succeeded if there are none.

        Otherwise it failed: the process that ran the attempt is gone and will not close the rest.
        """
        found = await self._clients.bot(call.target).command(
            "is_flat", {}, attempt_id=call.attempt_id, fence=call.fence, within=call.within
        )
        return {"succeeded": Probe.DONE, "failed": Probe.FAILED}.get(found.outcome, Probe.UNKNOWN)


EVERY = "all"
"""The agent's name for all holds; refused here: an approval is for the holds that were shown."""


class ResumeTrading(BotCommand):
    """Releases named holds, so that the bot may trade again. Manual only; other holds stay.

    At most once per attempt: a repeat could release a hold that was placed since with the same id.
    The bot's next report has the release.
    """

    name: ClassVar[str] = "resume_trading"
    command: ClassVar[str] = "resume"
    delivery: ClassVar[DeliverySemantics] = DeliverySemantics.ONE_SHOT
    params: ClassVar[frozenset[str]] = frozenset({"holds"})
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
    two_person_approval: ClassVar[bool] = True
    manual_only: ClassVar[bool] = True

    def body(self, call: Call) -> Mapping[str, str]:
        """Return the holds to release, and who releases them.

        Raises:
            ActionError: no operator requested it, or no holds are named.
        """
        if call.requested_by is None:
            raise ActionError("only an operator can release holds")
        named = [name for part in call.params["holds"].split(",") if (name := part.strip())]
        if not named or EVERY in named:
            raise ActionError(
                "`holds` must list the ids of the holds, separated by commas; `all` is not allowed"
            )
        reason = call.reason or f"request {call.attempt_id}"
        return {"holds": ",".join(named), "owner": call.requested_by, "reason": reason}
