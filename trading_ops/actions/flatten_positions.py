"""Out of every position, in the only order that works: halt, exit, see that nothing is open, stop.

It costs what the market takes at that moment, so a second person must approve it. The halt, named
after the attempt, stands whatever becomes of the rest.
"""

from collections.abc import Mapping
from typing import ClassVar

from trading_ops.actions.base import Call, Probe
from trading_ops.actions.bot_command import BotCommand
from trading_ops.actions.hold_trading import hold_of
from trading_ops.domain.attempt import Delivery
from trading_ops.domain.target import Kind


class FlattenPositions(BotCommand):
    """Closes every position of a Freqtrade at the market, then stops it; it stays halted."""

    name: ClassVar[str] = "flatten_positions"
    command: ClassVar[str] = "flatten"
    delivery: ClassVar[Delivery] = Delivery.ONE_SHOT
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.FREQTRADE})
    two_persons: ClassVar[bool] = True

    def body(self, call: Call) -> Mapping[str, str]:
        """Return the hold that stands from its first step on."""
        return hold_of(call)

    async def probe(self, call: Call) -> Probe:
        """Count what is open: nothing is what was wanted, whoever did it.

        What is left will not be closed by this attempt any more: whoever carried it out is gone.
        """
        found = await self._clients.bot(call.target).command(
            "is_flat", {}, attempt_id=call.attempt_id, fence=call.fence, within=call.within
        )
        return {"succeeded": Probe.DONE, "failed": Probe.FAILED}.get(found.outcome, Probe.UNKNOWN)
