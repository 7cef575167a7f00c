"""Reads everything that a comparison needs from the venue: completely, or not at all."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, TypeVar

from trading_ops import clock
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.orders.order import Order, VenueOrder
from trading_ops.botkit.reconciliation.state import RecordedState, VenueState
from trading_ops.botkit.venue.adapter import (
    AccountHistory,
    AccountSnapshot,
    VenueAdapter,
    VenueCaller,
    VenueTrade,
)
from trading_ops.botkit.venue.history import read_history

T = TypeVar("T")


class OrderRecords(Protocol):
    """The part of the store that the reconciliation reads."""

    async def by_venue_ids(self, venue_ids: Collection[str]) -> list[Order]:
        """Return the recorded orders that have these ids at the venue."""
        ...

    async def adopted_among(self, ids: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return which trades and ledger entries, by kind and id, were counted before."""
        ...


class TooSlow(Unavailable):
    """The venue's answers took longer than orders may wait for a comparison."""


class TimeLimitedCaller:
    """A caller that starts no further request after a deadline.

    A request under way is not cancelled: it may have arrived, and it has its own timeout.
    """

    def __init__(self, caller: VenueCaller, *, seconds: float) -> None:
        """Start the time limit.

        Args:
            caller: makes the requests.
            seconds: from now until the last request may start.
        """
        self._caller = caller
        self._seconds = seconds
        self._until = clock.monotonic() + seconds

    async def call(self, endpoint: str, request: Callable[[VenueAdapter], Awaitable[T]]) -> T:
        """Make a request.

        Raises:
            TooSlow: the deadline has passed.
            Unavailable: the venue cannot be queried now.
            VenueRefused: it refused the request.
        """
        if clock.monotonic() > self._until:
            raise TooSlow(f"{endpoint}: the account was not read within {self._seconds:g} s")
        return await self._caller.call(endpoint, request)


@dataclass(frozen=True, kw_only=True)
class BotState:
    """The bot's state in memory at the start of a comparison."""

    owns: Callable[[str | None], bool]
    """Returns whether a client order id belongs to this bot."""

    open_orders: Collection[Order]
    """The orders that may still be filled."""

    positions: Mapping[str, Decimal]
    """Quantities by symbol."""

    expected: Mapping[str, Decimal]
    """The expected balances by currency."""


async def collect(
    caller: VenueCaller, records: OrderRecords, bot: BotState, *, since: float
) -> tuple[RecordedState, VenueState]:
    """Return both sides, read as closely together as the venue allows.

    Balances are read last: a fill during the reading is then in the balances, and shows as a
    difference that the next comparison explains.

    Args:
        caller: makes the requests.
        records: of the bot.
        bot: what the bot has in memory.
        since: start of the trades and ledger entries to read, in seconds since the epoch.

    Raises:
        Unavailable: an answer is missing, so that nothing can be concluded.
        VenueRefused: the venue refused a request.
        StoreError: the records cannot be read.
    """
    began = clock.timestamp()
    open_orders = await caller.call("OpenOrders", lambda venue: venue.open_orders())
    reports = await _reports(
        caller, bot.open_orders, {open_order.client_id for open_order in open_orders}
    )
    history = await read_history(
        lambda cursor: caller.call(cursor.endpoint, lambda venue: venue.history(since, cursor)),
        since=since,
    )
    recorded, unrecorded = await _orders_of_trades(caller, records, bot, history, reports)
    balances = await caller.call("BalanceEx", lambda venue: venue.balances())
    positions = await caller.call("OpenPositions", lambda venue: venue.positions())
    ids = [("trade", trade.trade_id) for trade in history.trades]
    ids += [("ledger", entry.ledger_id) for entry in history.ledger]
    recorded_state = RecordedState(
        owns=bot.owns,
        orders=recorded,
        positions=bot.positions,
        expected=bot.expected,
        counted=await records.adopted_among(ids),
    )
    snapshot = AccountSnapshot(
        at=began, open_orders=tuple(open_orders), balances=balances, positions=positions
    )
    return recorded_state, VenueState(
        snapshot=snapshot, history=history, reports=reports, unrecorded=unrecorded
    )


async def _reports(
    caller: VenueCaller, open_orders: Collection[Order], open_ids: Collection[str | None]
) -> dict[str, VenueOrder | None]:
    """Query each order that is open in the records and not at the venue; absence proves nothing."""
    reports: dict[str, VenueOrder | None] = {}
    for order in open_orders:
        if order.client_id not in open_ids:
            client_id = order.client_id
            reports[client_id] = await caller.call(
                "QueryOrders",
                lambda venue: venue.find(client_id),  # noqa: B023 - awaited in the same iteration
            )
    return reports


async def _orders_of_trades(
    caller: VenueCaller,
    records: OrderRecords,
    bot: BotState,
    history: AccountHistory,
    reports: dict[str, VenueOrder | None],
) -> tuple[dict[str, Order], dict[str, VenueOrder]]:
    """Return the recorded orders to compare, and the orders of trades that are not recorded.

    Adds reports on recorded orders whose trades exceed the recorded fills to `reports`.
    """
    recorded = {order.client_id: order for order in bot.open_orders}
    by_order: dict[str, list[VenueTrade]] = defaultdict(list)
    for trade in history.trades:
        by_order[trade.venue_id].append(trade)
    known = {order.venue_id: order for order in await records.by_venue_ids(list(by_order))}
    for order in known.values():
        recorded.setdefault(order.client_id, order)
    to_query = [
        venue_id
        for venue_id, trades in by_order.items()
        if venue_id not in known
        or sum((trade.quantity for trade in trades), Decimal(0)) > known[venue_id].filled
    ]
    found = (
        await caller.call("QueryOrders", lambda venue: venue.orders(to_query)) if to_query else []
    )
    unrecorded: dict[str, VenueOrder] = {}
    for report in found:
        if report.venue_id in known:
            reports.setdefault(known[report.venue_id].client_id, report)
        elif report.client_id in recorded:
            reports[report.client_id or ""] = report  # its answer was lost: now its id is known
        else:
            unrecorded[report.venue_id] = report
    return recorded, unrecorded
