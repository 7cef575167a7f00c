"""The steps of a bot's ordered end, in their order."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from trading_ops import logs
from trading_ops.agent import Agent
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.failpoints import Failpoint, reached
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.reconciliation.component import Reconciliation
from trading_ops.botkit.risk.protection import without_stops
from trading_ops.botkit.shutdown import ShutdownSeconds, ShutdownStep
from trading_ops.botkit.supervisor import Supervisor
from trading_ops_lab.paper.bot.heartbeat import Heartbeat
from trading_ops_lab.paper.bot.lifeline import Lifeline
from trading_ops_lab.paper.bot.trading.orders import Orders

log = logs.get(__name__)


class Parts(Protocol):
    """What is ended; no pass is submitted from any more when this begins."""

    agent: Agent
    book: Book
    heartbeat: Heartbeat
    lifeline: Lifeline
    orders: Orders
    reconciliation: Reconciliation
    supervisor: Supervisor


class Farewell:
    """Leaves nothing at the venue that nobody looks after, then closes everything."""

    def __init__(self, parts: Parts, *, stops: bool, stop_watchers: Callable[[], None]) -> None:
        """Take what is ended.

        Args:
            parts: of the bot.
            stops: whether orders that cover a position are cancelled too; else they go on covering
                it, and the switch that would cancel them is put away.
            stop_watchers: waits for their threads.
        """
        self._parts = parts
        self._stops = stops
        self._stop_watchers = stop_watchers

    def steps(self, within: ShutdownSeconds) -> tuple[ShutdownStep, ...]:
        """Return them with their deadlines."""
        stop = self._parts.supervisor.stop
        others = [name for name in self._parts.supervisor.components if name != "store"]
        last = self._compare
        return (
            ShutdownStep(name="passes", seconds=within.passes, run=lambda: stop("heartbeat")),
            ShutdownStep(name="orders", seconds=within.orders, run=self._cancel),
            ShutdownStep(
                name="comparison", seconds=within.comparison, run=last, skip_after_failure=True
            ),
            ShutdownStep(name="switch", seconds=within.switch, run=self._disarm),
            ShutdownStep(name="mark", seconds=within.mark, run=self._mark),
            ShutdownStep(name="components", seconds=within.components, run=lambda: stop(*others)),
            ShutdownStep(name="store", seconds=within.store, run=lambda: stop("store")),
            ShutdownStep(
                name="watchers",
                seconds=within.watchers,
                run=lambda: asyncio.to_thread(self._stop_watchers),
            ),
            ShutdownStep(
                name="agent",
                seconds=within.agent,
                run=lambda: asyncio.to_thread(self._parts.agent.stop),
            ),
        )

    @property
    def _open(self) -> int:
        """Return of how many orders it is not known that they ended."""
        orders = self._parts.book.open_orders()
        return len(orders if self._stops else without_stops(orders))

    async def _cancel(self) -> None:
        reached(Failpoint.SHUTDOWN_STARTED)
        count = await self._parts.orders.cancel_all(stops=self._stops)
        log.info("orders_cancelled", count=count)
        reached(Failpoint.ORDERS_CANCELLED)
        if self._open:
            raise Unavailable(f"of {self._open} orders it is not known that they ended")

    async def _compare(self) -> None:
        if self._parts.reconciliation.recovered:
            await self._parts.reconciliation.check_now()

    async def _disarm(self) -> None:
        if self._open:
            raise Unavailable(f"the dead-man switch stays armed: {self._open} orders may be open")
        await self._parts.heartbeat.disarm()
        reached(Failpoint.DEADMAN_DISARMED)

    async def _mark(self) -> None:
        await self._parts.lifeline.end(left_open=self._open)
