"""The bot's own orders, positions and expected balances, in memory and in the store alike."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from trading_ops import clock, logs
from trading_ops.agent import Side
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics
from trading_ops.paper.bot.component import Unavailable
from trading_ops.paper.bot.records.events import Event, EventKind
from trading_ops.paper.bot.records.orders import Adopted, Change, Memory
from trading_ops.paper.bot.records.store import Store
from trading_ops.paper.bot.trading.order import (
    Fill,
    Order,
    OrderStatus,
    Position,
    VenueOrder,
    own_prefix,
    progress,
)

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
        self._alive: dict[str, Order] = {}
        self._unsure = False
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

    async def begin(self, order: Order) -> None:
        """Write an order down before it is sent.

        Raises:
            Unavailable: it could not be stored, and must not be sent.
        """
        await self._keep(Change(order=order, events=(_event(order, EventKind.ORDER),)))

    async def hear(self, order: Order, word: VenueOrder) -> Fill | None:
        """Take the venue's word on an order: fills, and its end; return what was newly filled.

        Raises:
            Unavailable: it could not be stored; the same word will come again.
        """
        await self._be_sure()
        order = await self._known(order)
        after, fill = progress(order, word)
        if after == order:
            return None
        if order.status.alive and not after.status.alive:
            after = replace(after, ended_at=clock.timestamp())
        events = [_event(after, EventKind.ORDER)] if after.status is not order.status else []
        change = Change(order=after, fill=fill)
        if fill is not None:
            held = self.position(order.symbol).after(order.side, fill)
            expected = self._paid(order.symbol, order.side, fill.quantity, fill.cost, fill.fee)
            change = replace(change, positions={order.symbol: held}, expected=expected)
            events.append(_event(after, EventKind.TRADE, fill))
        await self._keep(replace(change, events=tuple(events)))
        if fill is not None:
            log.info(
                "order_filled",
                order=order.client_id,
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
        ended = replace(order, status=status, reason=reason, ended_at=clock.timestamp())
        await self._keep(Change(order=ended, events=(_event(ended, EventKind.ORDER),)))

    async def adopt_balances(self, balances: Mapping[str, Decimal]) -> None:
        """Take the venue's balances as what is expected, at the very first start or by a person.

        Raises:
            Unavailable: it could not be stored.
        """
        told = {currency: str(amount) for currency, amount in balances.items()}
        event = self._recovery("balances_adopted", told)
        await self._keep(Change(expected=balances, events=(event,)))

    async def adopt(self, adopted: Adopted, *, amounts: Mapping[str, Decimal], code: str) -> None:
        """Count something that happened on the account without us, once.

        Args:
            adopted: what it was.
            amounts: by currency, what it changed the balance by.
            code: of the event.

        Raises:
            Unavailable: it could not be stored.
        """
        await self._be_sure()
        if await self._ask_whether(adopted):
            return
        expected = {
            currency: self.expected.get(currency, Decimal(0)) + amount
            for currency, amount in amounts.items()
        }
        event = self._recovery(code, {"id": adopted.id, "what": adopted.detail})
        await self._keep(Change(expected=expected, adopted=adopted, events=(event,)))

    async def shrink(self, symbol: str, quantity: Decimal) -> None:
        """Lower a position to what is there; the rest was sold by somebody else, for no profit.

        Raises:
            Unavailable: it could not be stored.
        """
        await self._be_sure()
        held = self.position(symbol)
        if quantity >= held.quantity:
            return
        left = replace(held, quantity=quantity, cost=held.cost * quantity / held.quantity)
        told = {"symbol": symbol, "from": str(held.quantity), "to": str(quantity)}
        event = self._recovery("position_shrunk", told)
        await self._keep(Change(positions={symbol: left}, events=(event,)))

    async def note(self, *events: Event) -> None:
        """Keep events that change nothing.

        Raises:
            Unavailable: they could not be stored.
        """
        await self._keep(Change(events=events))

    def _paid(
        self, symbol: str, side: Side, quantity: Decimal, cost: Decimal, fee: Decimal
    ) -> dict[str, Decimal]:
        """Return the expected balances after a trade; none before they were first adopted."""
        if not self.expected:
            return {}
        base, _, quote = symbol.partition("/")
        sign = 1 if side is Side.BUY else -1
        return {
            base: self.expected.get(base, Decimal(0)) + sign * quantity,
            quote: self.expected.get(quote, Decimal(0)) - sign * cost - fee,
        }

    def _recovery(self, code: str, detail: Mapping[str, str]) -> Event:
        return Event(at=clock.timestamp(), kind=EventKind.RECOVERY, code=code, detail=dict(detail))

    async def _known(self, order: Order) -> Order:
        """Return an order as it is recorded now: it may have gone on since it was looked at."""
        alive = self._alive.get(order.client_id)
        if alive is not None:
            return alive
        try:
            return await self._store.find(order.client_id) or order
        except StoreError as error:
            raise Unavailable(f"store: {error}") from error

    async def _ask_whether(self, adopted: Adopted) -> bool:
        try:
            return bool(await self._store.adopted_among([(adopted.kind, adopted.id)]))
        except StoreError as error:
            raise Unavailable(f"store: {error}") from error

    async def _be_sure(self) -> None:
        if not self._unsure:
            return
        try:
            self.restore(await self._store.load())
        except StoreError as error:
            raise Unavailable(f"store: {error}") from error
        self._unsure = False

    async def _keep(self, change: Change) -> None:
        await self._be_sure()
        try:
            await self._store.ask((change,), within=STORE_SECONDS)
        except BaseException:
            self._unsure = True
            raise
        self._remember(change)

    def _remember(self, change: Change) -> None:
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


def _event(order: Order, kind: EventKind, fill: Fill | None = None) -> Event:
    detail = {
        "side": order.side.value,
        "type": order.type.value,
        "quantity": str(order.quantity),
        "price": str(order.price),
        "filled": str(order.filled),
    }
    if order.reason:
        detail["reason"] = order.reason
    if fill is not None:
        detail |= {
            "fill": str(fill.quantity),
            "cost": str(fill.cost),
            "fee": str(fill.fee),
        }
    return Event(
        at=clock.timestamp(),
        kind=kind,
        code="fill" if fill is not None else order.status.value,
        symbol=order.symbol,
        order_id=order.client_id,
        detail=detail,
    )
