"""Close all positions: halt, exit, check that nothing is open, stop.

It trades at market prices, so another operator must approve it. The halt, whose id is the
attempt's, stays in force even if the rest fails.
"""

from collections.abc import Mapping
from typing import ClassVar

from trading_ops.actions.base import Call, Probe
from trading_ops.actions.bot_commands import BotCommand
from trading_ops.actions.hold_trading import hold_of
from trading_ops.domain.attempt import Delivery
from trading_ops.domain.target import Kind


class FlattenPositions(BotCommand):
    """Closes all positions of a Freqtrade at market, then stops it; it stays halted."""

    name: ClassVar[str] = "flatten_positions"
    command: ClassVar[str] = "flatten"
    delivery: ClassVar[Delivery] = Delivery.ONE_SHOT
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.FREQTRADE})
    two_persons: ClassVar[bool] = True

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
