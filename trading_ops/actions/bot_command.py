"""Actions that are one idempotent command of the bot's agent."""

from collections.abc import Mapping
from typing import ClassVar

from trading_ops.actions.base import Call, Clients, Probe, probe_executor
from trading_ops.domain.attempt import Delivery
from trading_ops.domain.target import OWN_BOTS, Kind
from trading_ops.errors import ActionError


class BotCommand:
    """Sends one command to the bot's agent."""

    name: ClassVar[str]
    command: ClassVar[str] = ""
    """The agent's name of the command; empty: the action's name."""

    delivery: ClassVar[Delivery] = Delivery.IDEMPOTENT
    params: ClassVar[frozenset[str]] = frozenset()
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
    two_persons: ClassVar[bool] = False
    by_hand_only: ClassVar[bool] = False

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def body(self, call: Call) -> Mapping[str, str]:
        """Return the command's parameters."""
        return call.params

    async def precondition(self, call: Call) -> str | None:
        """No precondition: it is idempotent."""
        del call
        return None

    async def perform(self, call: Call) -> str:
        """Send the command and wait for the result."""
        result = await self._clients.bot(call.target).command(
            self.command or self.name,
            self.body(call),
            attempt_id=call.attempt_id,
            fence=call.fence,
            within=call.within,
        )
        if not result.succeeded:
            raise ActionError(result.detail or f"{self.name} failed")
        return result.detail

    async def probe(self, call: Call) -> Probe:
        """Probe the agent's record of attempts."""
        return await probe_executor(self._clients.bot(call.target), call)
