"""The bot's own orders and positions, in memory and in the store alike."""

from dataclasses import replace

from trading_ops import logs
from trading_ops.instrument import BotMetrics
from trading_ops.paper.bot.records.store import Change, Memory, Store
from trading_ops.paper.bot.trading.order import (
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
    """Every change is stored first; memory follows when it is durable."""

    def __init__(self, bot: str, metrics: BotMetrics, store: Store) -> None:
        """Begin empty; see `restore`."""
        self._prefix = own_prefix(bot)
        self._metrics = metrics
        self._store = store
        self._alive: dict[str, Order] = {}
        self.positions: dict[str, Position] = {}

    def restore(self, memory: Memory) -> None:
        """Take over what an earlier process left."""
        self._alive = {order.client_id: order for order in memory.alive}
        self.positions = dict(memory.positions)
        for symbol, position in self.positions.items():
            self._metrics.position(symbol, float(position.quantity))

    def alive(self, symbol: str | None = None) -> list[Order]:
        """Return the orders that may still be filled, of one symbol or of all."""
        return [o for o in self._alive.values() if symbol is None or o.symbol == symbol]

    def position(self, symbol: str) -> Position:
        """Return the position in a symbol."""
        return self.positions.get(symbol, Position())

    def owns(self, word: VenueOrder) -> bool:
        """Say whether an order at the venue was placed by this bot, now or in an earlier life."""
        return (word.client_id or "").startswith(self._prefix)

    async def begin(self, order: Order) -> None:
        """Write an order down before it is sent.

        Raises:
            Unavailable: it could not be stored, and must not be sent.
        """
        await self._keep(Change(order=order))

    async def hear(self, order: Order, word: VenueOrder) -> None:
        """Take the venue's word on an order: fills, and its end.

        Raises:
            Unavailable: it could not be stored; the same word will come again.
        """
        after, fill = progress(order, word)
        if after == order:
            return
        position = self.position(order.symbol).after(order.side, fill) if fill else None
        await self._keep(Change(order=after, fill=fill, position=position))
        if fill is not None:
            log.info(
                "order_filled",
                order=order.client_id,
                symbol=order.symbol,
                side=order.side.value,
                quantity=str(fill.quantity),
                cost=str(fill.cost),
            )

    async def end(self, order: Order, status: OrderStatus) -> None:
        """Note that an order ended without the venue's word on it, such as a rejected one.

        Raises:
            Unavailable: it could not be stored.
        """
        await self._keep(Change(order=replace(order, status=status)))

    async def _keep(self, change: Change) -> None:
        await self._store.ask((change,), within=STORE_SECONDS)
        order = change.order
        if order.status.alive:
            self._alive[order.client_id] = order
        else:
            self._alive.pop(order.client_id, None)
            self._metrics.order_ended(order.status.value, order_id=order.client_id)
        if change.position is not None:
            self.positions[order.symbol] = change.position
            self._metrics.position(order.symbol, float(change.position.quantity))
        self._metrics.open_orders(len(self._alive))
