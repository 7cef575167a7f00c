"""Give a bot's service more or less CPU or memory for a time, through its service manager."""

from typing import ClassVar

from trading_ops.actions.base import Call, Clients, Probe, probe_executor, undo_id
from trading_ops.domain.attempt import Delivery
from trading_ops.domain.target import OWN_BOTS, Kind
from trading_ops.errors import ActionError


class ScaleResources:
    """Change the CPU weight or the memory limit of the bot's unit for a limited time.

    Gives a bot that is short of CPU a larger share, or takes it from one that starves others.

    The node restores the earlier value after `seconds`, also after its own restart; 0 seconds
    restore it now. Safe to repeat: the value before the first change is kept.
    """

    name: ClassVar[str] = "scale_resources"
    delivery: ClassVar[Delivery] = Delivery.IDEMPOTENT
    params: ClassVar[frozenset[str]] = frozenset({"resource", "value", "seconds"})
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
    two_persons: ClassVar[bool] = False
    manual_only: ClassVar[bool] = False

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def precondition(self, call: Call) -> str | None:
        """No precondition: it is idempotent."""
        del call
        return None

    async def perform(self, call: Call) -> str:
        """Send the change to the node."""
        return await self._send(call, _whole(call, "seconds"), call.attempt_id)

    async def undo(self, call: Call) -> str:
        """End this attempt's change; the value before it, or an operator's own, applies again."""
        return await self._send(call, 0, undo_id(call.attempt_id), undoes=call.attempt_id)

    async def _send(
        self, call: Call, seconds: int, attempt_id: str, *, undoes: str | None = None
    ) -> str:
        result = await self._clients.unit(call.target).scale(
            resource=call.params["resource"],
            value=_whole(call, "value"),
            seconds=seconds,
            attempt_id=attempt_id,
            fence=call.fence,
            within=call.within,
            undoes=undoes,
        )
        if not result.succeeded:
            raise ActionError(result.detail or "the service manager could not change it")
        return result.detail

    async def probe(self, call: Call) -> Probe:
        """Probe the node's record of attempts.

        One that died with the node counts as failed: whatever it changed, the node restores.
        """
        unit = self._clients.unit(call.target)
        found = await probe_executor(unit, call)
        if found is not Probe.UNKNOWN:
            return found
        kept = await unit.attempt(call.attempt_id)
        return Probe.FAILED if kept is not None and kept.outcome == "unknown" else found


def _whole(call: Call, name: str) -> int:
    text = call.params[name]
    if not text.isascii() or not text.isdecimal():
        raise ActionError(f"{name} is {text!r}. Fix: give a whole number")
    return int(text)
