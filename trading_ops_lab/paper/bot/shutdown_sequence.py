"""The steps of a graceful shutdown, in the order in which they run."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from trading_ops import logs
from trading_ops.agent import Agent
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.failpoints import BotFailpoint, reached
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.reconciliation.component import Reconciliation
from trading_ops.botkit.risk.protection import without_stops
from trading_ops.botkit.shutdown import ShutdownSeconds, ShutdownStep
from trading_ops.botkit.supervisor import Supervisor
from trading_ops_lab.paper.bot.heartbeat import Heartbeat
from trading_ops_lab.paper.bot.run_record import RunRecord
from trading_ops_lab.paper.bot.trading.orders import Orders

log = logs.get(__name__)


class Parts(Protocol):
    """The parts to stop; the bot submits nothing any more when the sequence starts."""

    agent: Agent
    book: Book
    heartbeat: Heartbeat
    run_record: RunRecord
    orders: Orders
    reconciliation: Reconciliation
    supervisor: Supervisor


class ShutdownSequence:
    """Leaves no unattended order at the venue, then stops everything."""

    def __init__(self, parts: Parts, *, stops: bool, stop_watchers: Callable[[], None]) -> None:
        """Set up the sequence.

        Args:
            parts: of the bot.
            stops: whether to cancel protective stop orders too. Otherwise they keep covering the
                position, and the dead man's switch that would cancel them is disarmed.
            stop_watchers: stops the watchers, and waits for their threads.
        """
        self._parts = parts
        self._stops = stops
        self._stop_watchers = stop_watchers

    def steps(self, within: ShutdownSeconds) -> tuple[ShutdownStep, ...]:
        """Return the steps with their deadlines."""
        stop = self._parts.supervisor.stop
        others = [name for name in self._parts.supervisor.components if name != "store"]
        return (
            ShutdownStep(name="passes", seconds=within.passes, run=lambda: stop("heartbeat")),
            ShutdownStep(name="orders", seconds=within.orders, run=self._cancel),
            ShutdownStep(
                name="comparison",
                seconds=within.comparison,
                run=self._compare,
                skip_after_failure=True,
            ),
            ShutdownStep(name="switch", seconds=within.switch, run=self._disarm),
            ShutdownStep(name="mark", seconds=within.mark, run=self._record_end),
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
        """Return the number of orders that may still be open."""
        orders = self._parts.book.open_orders()
        return len(orders if self._stops else without_stops(orders))

    async def _cancel(self) -> None:
        reached(BotFailpoint.SHUTDOWN_STARTED)
        count = await self._parts.orders.cancel_all(stops=self._stops)
        log.info("orders_cancelled", count=count)
        reached(BotFailpoint.ORDERS_CANCELLED)
        if self._open:
            raise Unavailable(f"{self._open} orders may still be open")

    async def _compare(self) -> None:
        if self._parts.reconciliation.recovered:
            await self._parts.reconciliation.check_now()

    async def _disarm(self) -> None:
        if self._open:
            raise Unavailable(f"the dead man's switch stays armed: {self._open} orders may be open")
        await self._parts.heartbeat.disarm()
        reached(BotFailpoint.DEADMAN_DISARMED)

    async def _record_end(self) -> None:
        await self._parts.run_record.end(left_open=self._open)
