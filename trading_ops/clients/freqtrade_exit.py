"""Close all positions in the only order that works: halt, exit, check that nothing is open, stop.

A stopped Freqtrade manages no position and refuses to close one, so stopping comes last, and only
when nothing is open. If a step fails, the halt stays active and the positions stay managed.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta

from trading_ops import clock
from trading_ops.clients.agent import CommandAnswer
from trading_ops.clients.freqtrade_api import FORCE_EXIT, FreqtradeApi
from trading_ops.errors import Refused, Unreachable

EXIT_WITHIN = timedelta(seconds=10)
"""Timeout of one `/forceexit`: it cancels and submits an order per trade before it answers."""

EXIT_AGAIN_SECONDS = 10.0
"""If positions are left after this time, the exit is requested again: one failed trade aborts
the whole request. Freqtrade cancels its exit orders before it submits new ones, so nothing is sold
twice."""


class EmergencyExit:
    """One emergency exit."""

    def __init__(self, api: FreqtradeApi, halt: Callable[[], Awaitable[object]]) -> None:
        """Use the API, and the function that places and confirms the halt."""
        self._api = api
        self._halt = halt
        self._done: list[str] = []
        self._doing = "the halt"
        self._open: int | None = None

    async def run(self, within: timedelta) -> CommandAnswer:
        """Run the exit; an outcome other than `succeeded` names the failed step.

        Raises:
            Unreachable: the halt was not answered, so the outcome is unknown.
            Refused: it was not started.
        """
        try:
            async with asyncio.timeout(within.total_seconds()):
                await self._run()
        except TimeoutError:
            return self._failed(f"was not confirmed within {within.total_seconds():g} s")
        except (Refused, Unreachable) as error:
            if not self._done:
                raise
            return self._failed(f"failed: {error}")
        return CommandAnswer(outcome="succeeded", detail=", ".join(self._done))

    async def _run(self) -> None:
        await self._halt()
        self._done.append("halted")
        await self._be_paused()
        paused_at = clock.timestamp()
        self._doing = "closing every position"
        await self._close_all()
        self._doing = "waiting for its current loop to end"
        await self._loop_ended_after(paused_at)
        self._doing = "closing every position"
        await self._close_all()  # trades that the loop may have opened before it saw the pause
        self._done.append("nothing is open")
        self._doing = "the stop"
        await self._api.order("POST", "/stop")
        await self._api.until(self._api.state, lambda now: now == "stopped")
        self._done.append("stopped")

    async def _be_paused(self) -> None:
        """Pause it, even if it is stopped: this starts it, but the lock prevents entries."""
        if await self._api.pause() == "stopped":
            await self._api.order("POST", "/pause")
            await self._api.until(self._api.state, lambda now: now == "paused")
            self._done.append("paused instead of stopped")

    async def _close_all(self) -> None:
        while await self._left():
            everything = {"tradeid": "all", "ordertype": "market"}
            # Without an answer it may still be running: the answer waits for the exchange.
            with contextlib.suppress(Unreachable):
                await self._api.order("POST", FORCE_EXIT, everything, within=EXIT_WITHIN)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EXIT_AGAIN_SECONDS):
                    await self._api.until(self._left, lambda left: not left)
            await self._be_paused()  # in case it was reloaded or stopped in the meantime

    async def _left(self) -> bool:
        try:
            self._open = await self._api.open_trades()
        except Unreachable:
            return True  # unknown is not the same as none
        return self._open > 0

    async def _loop_ended_after(self, moment: float) -> None:
        """Wait for a loop iteration to end after the pause: an entry may have been in progress.

        Time stamps are whole seconds, rounded down.
        """
        await self._api.until(
            self._api.health,
            lambda now: now.last_process_ts is not None and now.last_process_ts >= moment,
        )

    def _failed(self, how: str) -> CommandAnswer:
        left = "unknown how many" if self._open is None else str(self._open)
        done = f"{', '.join(self._done) or 'nothing is confirmed'}; {self._doing} {how}; "
        if self._doing == "the stop":
            return CommandAnswer(outcome="failed", detail=f"{done}nothing is open")
        return CommandAnswer(
            outcome="failed", detail=f"{done}open positions: {left}; it was not stopped"
        )
