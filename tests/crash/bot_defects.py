"""Broken promises of the bot, planted on purpose: the sweep must find each of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from trading_ops.agent.state import Holds, TradingHold
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.checks import Intent
from trading_ops.botkit.orders.market import Quote
from trading_ops.botkit.orders.order import OrderStatus
from trading_ops.botkit.orders.sync import OrderSync
from trading_ops.botkit.records import orders as records
from trading_ops.botkit.records.orders import Change
from trading_ops.botkit.records.sql import Session
from trading_ops_lab.paper.bot.mode import Mode, ModeRecord, ModeSwitch, PaperFile
from trading_ops_lab.paper.bot.trading.orders import Orders


def _send_again() -> None:
    """An order whose answer was lost is taken for one that never arrived, even when it is seen."""
    real = Orders._submit

    async def submit(self: Orders, intent: Intent, quote: Quote) -> None:
        try:
            await real(self, intent, quote)
        except Unavailable:
            for order in self._book.open_orders(intent.symbol):
                if order.venue_id is None:
                    await self._book.finish(order, OrderStatus.REJECTED, "no answer")

    setattr(Orders, "_submit", submit)  # noqa: B010 - a private name of the product
    setattr(OrderSync, "check", lambda _self, _intent: None)  # noqa: B010


def _forget_fills() -> None:
    """The order is stored with its fill, the position and balances are not."""
    save = records.save

    def half(session: Session, change: Change, now: float) -> None:
        save(session, replace(change, positions={}, expected={}) if change.fill else change, now)

    records.save = half


def _count_twice() -> None:
    """What a fill was paid with is counted twice."""
    paid = Book._paid

    def twice(self: Book, symbol: str, side: Any, fill: Any) -> Any:
        return paid(self, symbol, side, replace(fill, fee=2 * fill.fee))

    setattr(Book, "_paid", twice)  # noqa: B010


def _forget_halts() -> None:
    """A hold is in force, and nothing of it is on the disk."""

    def store(self: Holds, holds: tuple[TradingHold, ...], released: list[dict[str, Any]]) -> None:
        """Keep nothing."""

    setattr(Holds, "_store", store)  # noqa: B010


def _forget_paper() -> None:
    """Paper mode is in force, but is stored neither on disk nor in the records."""

    def write(self: PaperFile, record: ModeRecord) -> None:
        """Keep nothing."""

    async def keep(self: ModeSwitch, mode: Mode, owner: str, reason: str) -> None:
        """Keep nothing."""

    setattr(PaperFile, "write", write)  # noqa: B010
    setattr(ModeSwitch, "_store_mode", keep)  # noqa: B010


def _way_for_nothing() -> None:
    """A stop makes way for an order that will be denied, as it is while the bot is halted."""
    real = Orders._let_through

    async def let_through(self: Orders, *given: Any, dry: bool = False) -> Any:
        return True if dry else await real(self, *given)

    setattr(Orders, "_let_through", let_through)  # noqa: B010


PLANTS: dict[str, Callable[[], None]] = {
    "send-again": _send_again,
    "forget-fills": _forget_fills,
    "count-twice": _count_twice,
    "forget-halts": _forget_halts,
    "forget-paper": _forget_paper,
    "way-for-nothing": _way_for_nothing,
}


def plant(name: str) -> None:
    """Break a promise in this process."""
    PLANTS[name]()
