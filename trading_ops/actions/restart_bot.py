"""Restart the bot's process through its service manager: at most once per attempt.

Meanwhile the venue's dead man's switch (cancel-all-after), no longer refreshed, cancels open
orders.
"""

import asyncio
import contextlib
from typing import ClassVar

from trading_ops.actions.base import Call, Clients, Probe, probe_executor
from trading_ops.domain.attempt import DeliverySemantics
from trading_ops.domain.target import OWN_BOTS, Kind
from trading_ops.errors import ActionError, ClientError, Cut

HEALTHY = "ok"
AGAIN_SECONDS = 2.0


class RestartBot:
    """Fixes a bot that crashed or is stuck."""

    name: ClassVar[str] = "restart_bot"
    delivery: ClassVar[DeliverySemantics] = DeliverySemantics.ONE_SHOT
    params: ClassVar[frozenset[str]] = frozenset()
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
    two_person_approval: ClassVar[bool] = False
    manual_only: ClassVar[bool] = False

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def precondition(self, call: Call) -> str | None:
        """Probe the bot directly: a late scrape must never restart a healthy one."""
        bot = self._clients.bot(call.target)
        try:
            try:
                health = await bot.health()
            except Cut:  # may be a connection to the previous process: retry
                health = await bot.health()
        except Cut:
            return f"{call.target.name} accepts connections and closes them: it is overloaded"
        except ClientError:
            return None  # no answer: restart it
        if health.status == HEALTHY:
            return f"{call.target.name} reports that it is healthy"
        return None

    async def perform(self, call: Call) -> str:
        """Restart the current incarnation."""
        unit = self._clients.unit(call.target)
        before = await unit.process()
        if before.pid is not None and (why := await self._again(call)):
            raise ActionError(why)
        result = await unit.restart(
            incarnation=before.incarnation,
            attempt_id=call.attempt_id,
            fence=call.fence,
            within=call.within,
        )
        call.log.extend(result.log)
        if not result.succeeded:
            raise ActionError(result.detail or "the service manager could not restart it")
        return result.detail

    async def _again(self, call: Call) -> str | None:
        """Probe a running bot again, now that its host has answered.

        While the network to a host is cut, its bots look dead. A restart that waits for the network
        would hit a healthy bot.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(AGAIN_SECONDS):
                return await self.precondition(call)
        return None

    async def probe(self, call: Call) -> Probe:
        """Probe the service manager's record of attempts.

        A restart that it started and did not finish, because it died itself, succeeded if another
        incarnation runs.
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


class RollBot(RestartBot):
    """Restart a healthy bot gracefully, on an operator's request.

    Restarts the process even if the bot is healthy: for new settings or a new release.

    As in every restart, SIGTERM first gives the bot time to cancel its orders. At most once per
    attempt, and only of the incarnation that runs when it starts.
    """

    name: ClassVar[str] = "roll_bot"

    async def precondition(self, call: Call) -> str | None:  # noqa: ARG002 - an operator requested it
        """No precondition: healthy bots are restarted too."""
        return None
