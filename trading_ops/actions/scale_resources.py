"""Give a bot more or less CPU or memory, or more database connections, for a time."""

from typing import ClassVar

from trading_ops.actions.base import AttemptResult, Call, Clients, Probe, probe_executor, undo_id
from trading_ops.domain.attempt import DeliverySemantics
from trading_ops.domain.target import OWN_BOTS, Kind
from trading_ops.errors import ActionError

POOL = "pool_percent"
"""The resource that the bot's agent changes; the node changes the others."""


class ScaleResources:
    """Change the bot's CPU weight, memory limit or database pool for a limited time.

    Gives a bot that is short of CPU a larger share, or takes it from one that starves others.

    The executor restores the earlier value after `seconds`, a node also after its own restart; 0
    seconds restore it now. Safe to repeat: the value before the first change is kept.
    """

    name: ClassVar[str] = "scale_resources"
    delivery: ClassVar[DeliverySemantics] = DeliverySemantics.IDEMPOTENT
    params: ClassVar[frozenset[str]] = frozenset({"resource", "value", "seconds"})
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
    two_person_approval: ClassVar[bool] = False
    manual_only: ClassVar[bool] = False

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def precondition(self, call: Call) -> str | None:
        """No precondition: it is idempotent."""
        del call
        return None

    async def perform(self, call: Call) -> str:
        """Send the change to the node or the agent."""
        return await self._send(call, _whole(call, "seconds"), call.attempt_id)

    async def undo(self, call: Call) -> str:
        """End this attempt's change; the value before it, or an operator's own, applies again."""
        return await self._send(call, 0, undo_id(call.attempt_id), undoes=call.attempt_id)

    async def _send(
        self, call: Call, seconds: int, attempt_id: str, *, undoes: str | None = None
    ) -> str:
        value = _whole(call, "value")
        result: AttemptResult
        if call.params["resource"] == POOL:
            params = {"percent": str(value), "seconds": str(seconds)}
            result = await self._clients.bot(call.target).command(
                "scale_pool",
                params | ({"undoes": undoes} if undoes else {}),
                attempt_id=attempt_id,
                fence=call.fence,
                within=call.within,
            )
        else:
            result = await self._clients.unit(call.target).scale(
                resource=call.params["resource"],
                value=value,
                seconds=seconds,
                attempt_id=attempt_id,
                fence=call.fence,
                within=call.within,
                undoes=undoes,
            )
        if not result.succeeded:
            raise ActionError(result.detail or "it could not be changed")
        return result.detail

    async def probe(self, call: Call) -> Probe:
        """Probe the executor's record of attempts.

        One that died with the node counts as failed: whatever it changed, the node restores.
        """
        if call.params["resource"] == POOL:
            return await probe_executor(self._clients.bot(call.target), call)
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
