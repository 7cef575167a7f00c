"""The bot's own orders, positions and expected balances, in memory and in the store alike."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from decimal import Decimal

from trading_ops import clock, logs
from trading_ops.agent import Side
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.failpoints import Failpoint, reached
from trading_ops.botkit.orders.events import event_of, trade_id
from trading_ops.botkit.orders.order import (
    Fill,
    Order,
    OrderStatus,
    Position,
    VenueOrder,
    own_prefix,
    progress,
)
from trading_ops.botkit.records.events import Event, EventKind
from trading_ops.botkit.records.orders import Adopted, Change, Memory
from trading_ops.botkit.records.store import Store
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

STORE_SECONDS = 5.0


class Book:
    """Every change is stored first; memory follows when it is durable.

    When it is not known whether a change was stored, the store is read again before the next one:
    a fill that was counted must not be counted again, nor one that was not be forgotten.
    """

    def __init__(self, bot: str, metrics: BotMetrics, store: Store) -> None:
        """Begin empty; see `restore`."""
        self._prefix = own_prefix(bot)
        self._metrics = metrics
        self._store = store
        self.on_trade: Callable[[Event], None] = lambda _event: None
        """Is told of each trade when it is stored."""

        self._alive: dict[str, Order] = {}
        self._unsure = False
        # Several hear of one fill: the pass, the venue's own stream, the comparison.
        self._turn = asyncio.Lock()
        self.positions: dict[str, Position] = {}
        self.expected: dict[str, Decimal] = {}
        """By currency, what the venue's balance must be; empty until it was first read."""

    def restore(self, memory: Memory) -> None:
        """Take over what an earlier process left."""
        self._alive = {order.client_id: order for order in memory.alive}
        self.positions = dict(memory.positions)
        self.expected = dict(memory.expected)
        for symbol, position in self.positions.items():
            self._metrics.position(symbol, float(position.quantity))
        self._metrics.open_orders(len(self._alive))

    def alive(self, symbol: str | None = None) -> list[Order]:
        """Return the orders that may still be filled, of one symbol or of all."""
        return [o for o in self._alive.values() if symbol is None or o.symbol == symbol]

    def position(self, symbol: str) -> Position:
        """Return the position in a symbol."""
        return self.positions.get(symbol, Position())

    def owns(self, client_id: str | None) -> bool:
        """Say whether an order was placed by this bot, now or in an earlier life."""
        return (client_id or "").startswith(self._prefix)

    async def recall(self, client_id: str) -> Order | None:
        """Return an own order as it is recorded, whatever became of it.

        Raises:
            Unavailable: the store cannot be asked.
        """
        alive = self._alive.get(client_id)
        if alive is not None:
            return alive
        try:
            return await self._store.find(client_id)
        except StoreError as error:
            raise Unavailable(f"store: {error}") from error

    async def begin(self, order: Order, *why: Event) -> None:
        """Write an order down before it is sent, with the events that tell why.

        Raises:
            Unavailable: it could not be stored, and must not be sent.
        """
        async with self._changing():
            events = (*why, event_of(order, EventKind.ORDER))
            await self._keep(Change(order=order, events=events))

    async def accept(self, order: Order, venue_id: str) -> None:
        """Note that the venue has an order, unless more than that is known by now.

        Raises:
            Unavailable: it could not be stored; the venue's next word tells the same.
        """
        async with self._changing():
            known = await self._known(order)
            if known.status is OrderStatus.SUBMITTED:
                after = replace(known, venue_id=venue_id, status=OrderStatus.ACCEPTED)
                await self._keep(Change(order=after, events=(event_of(after, EventKind.ORDER),)))

    async def hear(self, order: Order, word: VenueOrder) -> Fill | None:
        """Take the venue's word on an order: fills, and its end; return what was newly filled.

        Raises:
            Unavailable: it could not be stored; the same word will come again.
        """
        async with self._changing():
            known = await self._known(order)
            after, fill = progress(known, word)
            if after == known:
                return None
            if known.status.alive and not after.status.alive:
                after = replace(after, ended_at=clock.timestamp())
            await self._keep(self._heard(known, after, fill))
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

    async def end(self, order: Order, status: OrderStatus, reason: str = "") -> None:
        """Note that an order ended without the venue's word on it, such as a rejected one.

        Raises:
            Unavailable: it could not be stored.
        """
        async with self._changing():
            known = await self._known(order)
            if known.status.alive:
                after = replace(known, status=status, reason=reason, ended_at=clock.timestamp())
                await self._keep(Change(order=after, events=(event_of(after, EventKind.ORDER),)))

    async def adopt_balances(self, balances: Mapping[str, Decimal]) -> None:
        """Take the venue's balances as what is expected, at the very first start or by a person.

        Raises:
            Unavailable: it could not be stored.
        """
        async with self._changing():
            gone = dict.fromkeys(self.expected.keys() - balances.keys(), Decimal(0))
            told = {currency: str(amount) for currency, amount in balances.items()}
            event = _recovery("balances_adopted", told)
            await self._keep(Change(expected={**gone, **balances}, events=(event,)))

    async def adopt(self, adopted: Adopted, *, amounts: Mapping[str, Decimal], code: str) -> None:
        """Count something that happened on the account without us, once.

        Args:
            adopted: what it was.
            amounts: by currency, what it changed the balance by.
            code: of the event.

        Raises:
            Unavailable: it could not be stored.
        """
        async with self._changing():
            if await self._ask_whether(adopted):
                return
            expected = {
                currency: self.expected.get(currency, Decimal(0)) + amount
                for currency, amount in amounts.items()
            }
            event = _recovery(code, {"id": adopted.id, "what": adopted.detail})
            await self._keep(Change(expected=expected, adopted=adopted, events=(event,)))

    async def shrink(self, symbol: str, quantity: Decimal) -> None:
        """Lower a position to what is there; the rest was sold by somebody else, for no profit.

        Raises:
            Unavailable: it could not be stored.
        """
        async with self._changing():
            held = self.position(symbol)
            if quantity >= held.quantity:
                return
            left = replace(held, quantity=quantity, cost=held.cost * quantity / held.quantity)
            told = {"symbol": symbol, "from": str(held.quantity), "to": str(quantity)}
            event = _recovery("position_shrunk", told)
            await self._keep(Change(positions={symbol: left}, events=(event,)))

    async def note(self, *events: Event) -> None:
        """Keep events that change nothing.

        Raises:
            Unavailable: they could not be stored.
        """
        async with self._changing():
            await self._keep(Change(events=events))

    @contextlib.asynccontextmanager
    async def _changing(self) -> AsyncIterator[None]:
        """One change after the other, on what is surely stored."""
        async with self._turn:
            if self._unsure:
                try:
                    self.restore(await self._store.load())
                except StoreError as error:
                    raise Unavailable(f"store: {error}") from error
                self._unsure = False
            yield

    def _heard(self, known: Order, after: Order, fill: Fill | None) -> Change:
        """Return what belongs together when the venue's word on an order was heard."""
        changed = after.status is not known.status
        events = [event_of(after, EventKind.ORDER)] if changed else []
        if fill is None:
            return Change(order=after, events=tuple(events))
        held = self.position(after.symbol)
        holds = held.after(after.side, fill)
        profit = holds.realized - held.realized if after.side is Side.SELL else None
        events.append(event_of(after, EventKind.TRADE, fill, profit))
        return Change(
            order=after,
            fill=fill,
            positions={after.symbol: holds},
            expected=self._paid(after.symbol, after.side, fill),
            events=tuple(events),
        )

    def _paid(self, symbol: str, side: Side, fill: Fill) -> dict[str, Decimal]:
        """Return the expected balances after a fill; none before they were first adopted."""
        if not self.expected:
            return {}
        base, _, quote = symbol.partition("/")
        sign = 1 if side is Side.BUY else -1
        return {
            base: self.expected.get(base, Decimal(0)) + sign * fill.quantity,
            quote: self.expected.get(quote, Decimal(0)) - sign * fill.cost - fill.fee,
        }

    async def _known(self, order: Order) -> Order:
        """Return an order as it is recorded now: it may have gone on since it was looked at."""
        return await self.recall(order.client_id) or order

    async def _ask_whether(self, adopted: Adopted) -> bool:
        try:
            return bool(await self._store.adopted_among([(adopted.kind, adopted.id)]))
        except StoreError as error:
            raise Unavailable(f"store: {error}") from error

    async def _keep(self, change: Change) -> None:
        reached(Failpoint.CHANGE)
        try:
            await self._store.ask((change,), within=STORE_SECONDS)
        except BaseException:
            self._unsure = True
            raise
        reached(Failpoint.CHANGE_STORED)
        self._remember(change)

    def _remember(self, change: Change) -> None:
        for event in change.events:
            if event.kind is EventKind.TRADE:
                self.on_trade(event)
        order = change.order
        if order is not None:
            was_alive = self._alive.pop(order.client_id, None) is not None
            if order.status.alive:
                self._alive[order.client_id] = order
            elif was_alive:  # a late fill of an order that ended before does not end it again
                self._metrics.order_ended(order.status.value, order_id=order.client_id)
                if order.status is OrderStatus.FILLED and order.ended_at is not None:
                    taken = order.ended_at - order.created_at
                    self._metrics.order_filled(taken, order_id=order.client_id)
        for symbol, held in change.positions.items():
            self.positions[symbol] = held
            self._metrics.position(symbol, float(held.quantity))
        self.expected.update(change.expected)
        self._metrics.open_orders(len(self._alive))


def _recovery(code: str, detail: Mapping[str, str]) -> Event:
    return Event(at=clock.timestamp(), kind=EventKind.RECOVERY, code=code, detail=dict(detail))
