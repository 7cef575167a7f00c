"""While a maintenance window is open, the parts of its bots that can wait are suspended.

Feed, orders, stops and risk limits continue. Each request lasts for a minute and is renewed, so
that the parts resume without us when the reconciler dies or the window is gone.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from trading_ops import clock, logs
from trading_ops.domain.maintenance import Maintenance
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import TradingOpsError
from trading_ops.holds.suppression import Suppression
from trading_ops.tasks import Succeeded, unwatched

log = logs.get(__name__)

RENEWED = timedelta(seconds=60)
INTERVAL_SECONDS = 15.0

Send = Callable[[Target, int], Awaitable[str]]


class PartSuspension:
    """Suspends and resumes parts of bots."""

    def __init__(
        self,
        registry: Registry,
        suppression: Suppression,
        send: Send,
        *,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        """Set the source of windows, and the function that sends a bot the number of seconds."""
        self._registry = registry
        self._suppression = suppression
        self._send = send
        self._now = now
        self._suspended: set[str] = set()

    async def run(self, succeeded: Succeeded = unwatched) -> None:
        """Renew until cancelled."""
        while True:
            await self._suppression.refresh()
            await self.renew()
            succeeded()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def renew(self) -> None:
        """Suspend the parts of bots in a window; resume those whose window ended early."""
        now = self._now()
        bots = [
            bot
            for bot in self._registry.bots
            if bot.kind is Kind.BOT and not (self._suppression.observe_only or bot.observe_only)
        ]
        windows = [(bot, self._suppression.window(bot, now)) for bot in bots]
        await asyncio.gather(
            *(
                self._tell(bot, window, now)
                for bot, window in windows
                if window is not None or bot.name in self._suspended
            )
        )

    async def _tell(self, bot: Target, window: Maintenance | None, now: datetime) -> None:
        left = min(window.ends_at - now, RENEWED) if window else timedelta()
        try:
            answer = await self._send(bot, math.ceil(left.total_seconds()))
        except TradingOpsError as error:
            log.info("parts_not_suspended", target=bot.name, error=str(error))
            return
        if (window is not None) is not (bot.name in self._suspended):
            log.info(
                "parts_suspended" if window else "parts_resumed", target=bot.name, detail=answer
            )
        if window is None:
            self._suspended.discard(bot.name)
        else:
            self._suspended.add(bot.name)
