"""Asks the venue for all that a comparison needs: whole, or not at all."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, TypeVar

from trading_ops import clock
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.orders.order import Order, VenueOrder
from trading_ops.botkit.reconciliation.sides import Ours, Theirs
from trading_ops.botkit.venue.history import read_history
from trading_ops.botkit.venue.port import Brokerage, History, Snapshot, VenueTrade

T = TypeVar("T")


class Caller(Protocol):
    """The part of the broker that is needed here."""

    async def call(self, endpoint: str, request: Callable[[Brokerage], Awaitable[T]]) -> T:
        """Make a request.

        Raises:
            Unavailable: the venue cannot be asked now.
            VenueRefused: it said no.
        """
        ...


class Records(Protocol):
    """The part of the records that is needed here."""

    async def by_venue_ids(self, venue_ids: Collection[str]) -> list[Order]:
        """Return the recorded orders that have these ids at the venue."""
        ...

    async def adopted_among(self, ids: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return which trades and ledger entries, by kind and id, were counted before."""
        ...


class TooSlow(Unavailable):
    """The answers took so long that orders had waited enough for them."""


class Patient:
    """A caller that asks nothing more after a while.

    What was asked is waited for: a request that is given up may have arrived, and each has a
    timeout of its own.
    """

    def __init__(self, caller: Caller, *, seconds: float) -> None:
        """Begin to count.

        Args:
            caller: asks the venue.
            seconds: from now on, until the last request.
        """
        self._caller = caller
        self._seconds = seconds
        self._until = clock.monotonic() + seconds

    async def call(self, endpoint: str, request: Callable[[Brokerage], Awaitable[T]]) -> T:
        """Make a request.

        Raises:
            TooSlow: it is too late for another one.
            Unavailable: the venue cannot be asked now.
            VenueRefused: it said no.
        """
        if clock.monotonic() > self._until:
            raise TooSlow(f"{endpoint}: the account was not told within {self._seconds:g} s")
        return await self._caller.call(endpoint, request)


@dataclass(frozen=True, kw_only=True)
class Held:
    """What the bot has in memory at the moment of the comparison."""

    owns: Callable[[str | None], bool]
    alive: Collection[Order]
    positions: Mapping[str, Decimal]
    expected: Mapping[str, Decimal]


async def gather(
    caller: Caller, records: Records, held: Held, *, since: float
) -> tuple[Ours, Theirs]:
    """Return both sides, read as closely together as the venue allows.

    Balances are read last: what is filled while the rest is read is then in them, and shows as a
    difference that the next comparison explains.

    Args:
        caller: asks the venue.
        records: of the bot.
        held: what the bot has in memory.
        since: from when on trades and ledger entries are asked for.

    Raises:
        Unavailable: an answer is missing, so that nothing can be concluded.
        VenueRefused: the venue refused an answer.
    """
    began = clock.timestamp()
    open_orders = await caller.call("OpenOrders", lambda venue: venue.open_orders())
    words = await _words(caller, held.alive, {word.client_id for word in open_orders})
    history = await read_history(
        lambda cursor: caller.call(cursor.endpoint, lambda venue: venue.history(since, cursor)),
        since=since,
    )
    recorded, others = await _behind(caller, records, held, history, words)
    balances = await caller.call("BalanceEx", lambda venue: venue.balances())
    positions = await caller.call("OpenPositions", lambda venue: venue.positions())
    ids = [("trade", trade.trade_id) for trade in history.trades]
    ids += [("ledger", entry.ledger_id) for entry in history.ledger]
    ours = Ours(
        owns=held.owns,
        orders=recorded,
        positions=held.positions,
        expected=held.expected,
        adopted=await records.adopted_among(ids),
    )
    snapshot = Snapshot(
        at=began, open_orders=tuple(open_orders), balances=balances, positions=positions
    )
    return ours, Theirs(snapshot=snapshot, history=history, words=words, others=others)


async def _words(
    caller: Caller, alive: Collection[Order], open_ids: Collection[str | None]
) -> dict[str, VenueOrder | None]:
    """Ask about each order that may be alive and is not open: only its own answer counts."""
    words: dict[str, VenueOrder | None] = {}
    for order in alive:
        if order.client_id not in open_ids:
            client_id = order.client_id
            words[client_id] = await caller.call("QueryOrders", lambda venue: venue.find(client_id))  # noqa: B023 - awaited in the same turn
    return words


async def _behind(
    caller: Caller,
    records: Records,
    held: Held,
    history: History,
    words: dict[str, VenueOrder | None],
) -> tuple[dict[str, Order], dict[str, VenueOrder]]:
    """Return our orders that matter, and the orders behind trades that are none of them.

    Adds to `words` the venue's word on recorded orders of which trades tell more than we know.
    """
    recorded = {order.client_id: order for order in held.alive}
    by_order: dict[str, list[VenueTrade]] = defaultdict(list)
    for trade in history.trades:
        by_order[trade.venue_id].append(trade)
    known = {order.venue_id: order for order in await records.by_venue_ids(list(by_order))}
    for order in known.values():
        recorded.setdefault(order.client_id, order)
    more = [
        venue_id
        for venue_id, trades in by_order.items()
        if venue_id not in known
        or sum((trade.quantity for trade in trades), Decimal(0)) > known[venue_id].filled
    ]
    found = await caller.call("QueryOrders", lambda venue: venue.orders(more)) if more else []
    others: dict[str, VenueOrder] = {}
    for word in found:
        if word.venue_id in known:
            words.setdefault(known[word.venue_id].client_id, word)
        elif word.client_id in recorded:
            words[word.client_id or ""] = word  # sent, and its answer lost: now its id is known
        else:
            others[word.venue_id] = word
    return recorded, others
