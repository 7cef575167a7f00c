"""Restart the bot's process through its service manager: at most once for each attempt.

Open orders are covered meanwhile by the venue's dead-man switch, which a dead bot no longer winds.
"""

from typing import ClassVar

from trading_ops.actions.base import Call, Clients, Probe, probe_executor
from trading_ops.domain.attempt import Delivery
from trading_ops.domain.target import OWN_BOTS, Kind
from trading_ops.errors import ActionError, ClientError, Cut

HEALTHY = "ok"


class RestartBot:
    """Cures a bot that died, or that is alive and stuck."""

    name: ClassVar[str] = "restart_bot"
    delivery: ClassVar[Delivery] = Delivery.ONE_SHOT
    params: ClassVar[frozenset[str]] = frozenset()
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
    two_persons: ClassVar[bool] = False
    by_hand_only: ClassVar[bool] = False

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def precondition(self, call: Call) -> str | None:
        """Ask the bot itself: a late scrape must never restart a healthy one."""
        bot = self._clients.bot(call.target)
        try:
            try:
                health = await bot.health()
            except Cut:  # also what is left of a connection to an earlier life: ask again
                health = await bot.health()
        except Cut:
            return f"{call.target.name} accepts connections and ends them: it is overloaded"
        except ClientError:
            return None  # it does not answer: that is what a restart is for
        if health.status == HEALTHY:
            return f"{call.target.name} itself says that it is well"
        return None

    async def perform(self, call: Call) -> str:
        """Name the incarnation that is meant, and have it replaced."""
        unit = self._clients.unit(call.target)
        before = await unit.process()
        result = await unit.restart(
            incarnation=before.incarnation,
            attempt_id=call.attempt_id,
            fence=call.fence,
            within=call.within,
        )
        if not result.succeeded:
            raise ActionError(result.detail or "the service manager could not restart it")
        return result.detail

    async def probe(self, call: Call) -> Probe:
        """Ask the service manager what it remembers of the attempt.

        One that it began and never ended, because it died itself, is done when another life runs.
        """
        unit = self._clients.unit(call.target)
        found = await probe_executor(unit, call)
        if found is not Probe.UNKNOWN:
            return found
        kept = await unit.attempt(call.attempt_id)
        if kept is None or kept.outcome != "unknown" or kept.before is None:
            return found
        process = await unit.process()
        another = process.pid is not None and process.incarnation not in {None, kept.before}
        return Probe.DONE if another else found
