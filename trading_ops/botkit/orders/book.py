"""The order book of the bot: its orders, positions and expected balances, in memory and stored."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from decimal import Decimal

from trading_ops import clock, logs
from trading_ops.agent import Side
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.failpoints import BotFailpoint, reached
from trading_ops.botkit.orders.events import order_event, trade_id
from trading_ops.botkit.orders.order import (
    Fill,
    Order,
    OrderStatus,
    Position,
    VenueOrder,
    apply_report,
    own_prefix,
)
from trading_ops.botkit.records.events import Event, EventLogKind, origin_of
from trading_ops.botkit.records.orders import Adopted, Change, StoredState
from trading_ops.botkit.records.store import Store
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

STORE_SECONDS = 5.0
"""How long to wait for a change to be stored."""


class Book:
    """Order book keeping: each change is stored first and applied in memory once it is durable.

    When it is unknown whether a change was stored, the store is read again before the next change,
    so that no fill is counted twice or lost. Quantities are in base currency, costs and fees in
    quote currency.

    Example:
        book = Book("mybot", metrics, store)
        book.restore(await store.load())
        await book.add(order)  # before it is sent
        await book.accept(order, venue_id)
        fill = await book.update(order, report)
    """

    def __init__(self, bot: str, metrics: BotMetrics, store: Store) -> None:
        """Start empty; call `restore` before any other method.

        Args:
            bot: name of the bot; the client IDs of its orders start with a hash of it.
            metrics: of the bot.
            store: a running `Store`.
        """
        self._prefix = own_prefix(bot)
        self._metrics = metrics
        self._store = store
        self.on_event: Callable[[Event], None] = lambda _event: None
        """Called with each event once it is stored and the book is up to date."""

        self._open_orders: dict[str, Order] = {}
        self._origins: dict[str, dict[str, str]] = {}
        self._unsure = False
        # One fill is reported several times: by the trading pass, the venue's private feed and the
        # reconciliation.
        self._lock = asyncio.Lock()
        self.positions: dict[str, Position] = {}
        """By symbol."""

        self.expected: dict[str, Decimal] = {}
        """By currency, the balance that the venue should report; empty before the first start."""

    def restore(self, state: StoredState) -> None:
        """Replace the contents by what is stored."""
        self._open_orders = {order.client_id: order for order in state.open_orders}
        self._origins = dict(state.origins)
        self.positions = dict(state.positions)
        self.expected = dict(state.expected)
        for symbol, position in self.positions.items():
            self._metrics.position(symbol, float(position.quantity))
        self._metrics.open_orders(len(self._open_orders))

    def open_orders(self, symbol: str | None = None) -> list[Order]:
        """Return the orders that may still be filled, of one symbol or of all.

        This includes orders that were recorded and that the venue has not acknowledged.
        """
        return [o for o in self._open_orders.values() if symbol is None or o.symbol == symbol]

    def position(self, symbol: str) -> Position:
        """Return the position in a symbol; empty when there is none."""
        return self.positions.get(symbol, Position())

    def owns(self, client_id: str | None) -> bool:
        """Return whether an order belongs to this bot, from this run or an earlier one."""
        return (client_id or "").startswith(self._prefix)

    async def find(self, client_id: str) -> Order | None:
        """Return the recorded state of an order, open or closed; None when it is not recorded.

        Raises:
            Unavailable: the store is down.
        """
        found = self._open_orders.get(client_id)
        if found is not None:
            return found
        try:
            return await self._store.find(client_id)
        except StoreError as error:
            raise Unavailable(f"store: {error}") from error

    async def add(self, order: Order, *why: Event) -> None:
        """Record a new order before it is sent.

        Args:
            order: with the status SUBMITTED.
            why: events that explain the order, stored with it.

        Raises:
            Unavailable: it could not be stored and must not be sent.
        """
        async with self._changing():
            origins = [origin_of(event) for event in why if event.kind is EventLogKind.SIGNAL]
            if origins:
                self._origins[order.client_id] = origins[0]
            events = (*why, self._event(order))
            await self._keep(Change(order=order, events=events))

    async def accept(self, order: Order, venue_id: str) -> None:
        """Record the venue's acknowledgement of an order; ignored if its state is newer.

        Raises:
            Unavailable: it could not be stored; the next `update` records the same.
        """
        async with self._changing():
            known = await self._known(order)
            if known.status is OrderStatus.SUBMITTED:
                after = replace(known, venue_id=venue_id, status=OrderStatus.ACCEPTED)
                await self._keep(Change(order=after, events=(self._event(after),)))

    async def update(self, order: Order, report: VenueOrder) -> Fill | None:
        """Record the venue's report on an order: its status and fills. Idempotent.

        Returns:
            What was filled since the recorded state; None when nothing was.

        Raises:
            Unavailable: it could not be stored; apply the same report again later.
        """
        async with self._changing():
            known = await self._known(order)
            after, fill = apply_report(known, report)
            if after == known:
                return None
            if known.status.is_open and not after.status.is_open:
                after = replace(after, ended_at=clock.timestamp())
            await self._keep(self._change_of(known, after, fill))
        if fill is not None:
            log.info(
                "order_filled",
                order=order.client_id,
                trade=trade_id(fill),
                symbol=order.symbol,
                side=order.side.value,
                quantity=str(fill.quantity),
                cost=str(fill.cost),
            )
        return fill

    async def finish(self, order: Order, status: OrderStatus, reason: str = "") -> None:
        """Record a final status that the venue does not report, such as REJECTED.

        Raises:
            Unavailable: it could not be stored.
        """
        async with self._changing():
            known = await self._known(order)
            if known.status.is_open:
                after = replace(known, status=status, reason=reason, ended_at=clock.timestamp())
                await self._keep(Change(order=after, events=(self._event(after),)))

    async def adopt_balances(self, balances: Mapping[str, Decimal]) -> None:
        """Set the expected balances to the venue's, at the first start or on a person's command.

        Args:
            balances: totals by currency.

        Raises:
            Unavailable: it could not be stored.
        """
        async with self._changing():
            gone = dict.fromkeys(self.expected.keys() - balances.keys(), Decimal(0))
            detail = {currency: str(amount) for currency, amount in balances.items()}
            event = _recovery_event("balances_adopted", detail)
            await self._keep(Change(expected={**gone, **balances}, events=(event,)))

    async def adopt(self, adopted: Adopted, *, amounts: Mapping[str, Decimal], code: str) -> None:
        """Add a trade or ledger entry that is not from this bot to the expected balances, once.

        Args:
            adopted: identifies it; an entry that was counted before is ignored.
            amounts: by currency, the signed change of the balance.
            code: of the event that records it.

        Raises:
            Unavailable: it could not be stored.
        """
        async with self._changing():
            if await self._was_adopted(adopted):
                return
            expected = {
                currency: self.expected.get(currency, Decimal(0)) + amount
                for currency, amount in amounts.items()
            }
            event = _recovery_event(code, {"id": adopted.id, "what": adopted.detail})
            await self._keep(Change(expected=expected, adopted=adopted, events=(event,)))

    async def reduce_position(self, symbol: str, quantity: Decimal) -> None:
        """Lower a position to `quantity`, because the rest was sold outside the bot.

        The cost is reduced in proportion, and no profit is counted. A quantity that is not lower
        has no effect.

        Raises:
            Unavailable: it could not be stored.
        """
        async with self._changing():
            held = self.position(symbol)
            if quantity >= held.quantity:
                return
            left = replace(held, quantity=quantity, cost=held.cost * quantity / held.quantity)
            detail = {"symbol": symbol, "from": str(held.quantity), "to": str(quantity)}
            event = _recovery_event("position_shrunk", detail)
            await self._keep(Change(positions={symbol: left}, events=(event,)))

    async def record_events(self, *events: Event) -> None:
        """Store events that change no order, position or balance.

        Raises:
            Unavailable: they could not be stored.
        """
        async with self._changing():
            await self._keep(Change(events=events))

    @contextlib.asynccontextmanager
    async def _changing(self) -> AsyncIterator[None]:
        """Serialize changes, and reload the stored state when it is uncertain."""
        async with self._lock:
            if self._unsure:
                try:
                    self.restore(await self._store.load())
                except StoreError as error:
                    raise Unavailable(f"store: {error}") from error
                self._unsure = False
            yield

    def _change_of(self, known: Order, after: Order, fill: Fill | None) -> Change:
        """Return everything that must be stored together for a report on an order."""
        changed = after.status is not known.status
        events = [self._event(after)] if changed else []
        if fill is None:
            return Change(order=after, events=tuple(events))
        held = self.position(after.symbol)
        holds = held.after(after.side, fill)
        profit = holds.realized - held.realized if after.side is Side.SELL else None
        events.append(self._event(after, EventLogKind.TRADE, fill, profit))
        return Change(
            order=after,
            fill=fill,
            positions={after.symbol: holds},
            expected=self._paid(after.symbol, after.side, fill),
            events=tuple(events),
        )

    def _event(
        self,
        order: Order,
        kind: EventLogKind = EventLogKind.ORDER,
        fill: Fill | None = None,
        profit: Decimal | None = None,
    ) -> Event:
        return order_event(order, kind, fill, profit, self._origins.get(order.client_id))

    def _paid(self, symbol: str, side: Side, fill: Fill) -> dict[str, Decimal]:
        """Return the expected balances after a fill; empty before they were first adopted."""
        if not self.expected:
            return {}
        base, _, quote = symbol.partition("/")
        sign = 1 if side is Side.BUY else -1
        return {
            base: self.expected.get(base, Decimal(0)) + sign * fill.quantity,
            quote: self.expected.get(quote, Decimal(0)) - sign * fill.cost - fill.fee,
        }

    async def _known(self, order: Order) -> Order:
        """Return the recorded state of an order, which may be newer than the caller's."""
        return await self.find(order.client_id) or order

    async def _was_adopted(self, adopted: Adopted) -> bool:
        try:
            return bool(await self._store.adopted_among([(adopted.kind, adopted.id)]))
        except StoreError as error:
            raise Unavailable(f"store: {error}") from error

    async def _keep(self, change: Change) -> None:
        reached(BotFailpoint.CHANGE)
        try:
            await self._store.ask((change,), within=STORE_SECONDS)
        except BaseException:
            self._unsure = True
            raise
        reached(BotFailpoint.CHANGE_STORED)
        self._apply(change)

    def _apply(self, change: Change) -> None:
        order = change.order
        if order is not None:
            was_open = self._open_orders.pop(order.client_id, None) is not None
            if order.status.is_open:
                self._open_orders[order.client_id] = order
            else:
                self._origins.pop(order.client_id, None)
            if (
                was_open and not order.status.is_open
            ):  # a late fill of a closed order does not close it again
                self._metrics.order_ended(order.status.value, order_id=order.client_id)
                if order.status is OrderStatus.FILLED and order.ended_at is not None:
                    taken = order.ended_at - order.created_at
                    self._metrics.order_filled(taken, order_id=order.client_id)
        for symbol, held in change.positions.items():
            self.positions[symbol] = held
            self._metrics.position(symbol, float(held.quantity))
        self.expected.update(change.expected)
        self._metrics.open_orders(len(self._open_orders))
        for event in change.events:
            self.on_event(event)


def _recovery_event(code: str, detail: Mapping[str, str]) -> Event:
    return Event(at=clock.timestamp(), kind=EventLogKind.RECOVERY, code=code, detail=dict(detail))
