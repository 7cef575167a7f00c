"""The orders component: learns what became of its orders, and takes the next step."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from trading_ops import clock, logs
from trading_ops.agent import Denial, OrderGate
from trading_ops.instrument import BotMetrics
from trading_ops.paper.bot.brokerage.broker import Broker
from trading_ops.paper.bot.brokerage.venue_errors import VenueRefused
from trading_ops.paper.bot.stage import Stage
from trading_ops.paper.bot.trading.book import Book
from trading_ops.paper.bot.trading.market import Quote
from trading_ops.paper.bot.trading.order import Order, OrderStatus, VenueOrder, new_client_id
from trading_ops.paper.bot.trading.plan import Cancel, Submit, plan
from trading_ops.paper.bot.trading.strategy import Target

log = logs.get(__name__)

LOST_SECONDS = 15.0
"""After which an order that was sent, and that the venue does not know, never arrived."""


class Orders(Stage[Mapping[str, Target], None]):
    """One pass: the venue's word on all own orders first, then at most one step a symbol."""

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        bot: str,
        symbols: Sequence[str],
        broker: Broker,
        book: Book,
        gate: OrderGate,
        quotes: Mapping[str, Quote],
        notional: Decimal,
        lifetime_seconds: float,
        stale_seconds: float,
    ) -> None:
        """Take what it works with; the sizes are those of the configuration."""
        super().__init__("orders", metrics)
        self._bot = bot
        self._symbols = symbols
        self._broker = broker
        self._book = book
        self._gate = gate
        self._quotes = quotes
        self._notional = notional
        self._lifetime = lifetime_seconds
        self._stale = stale_seconds
        self._adopted = False
        # A command may come in the middle of a pass; a fill that both hear of must count once.
        self._turn = asyncio.Lock()
        self.stopping = False
        """True: nothing is submitted any more."""

    async def work(self, asked: Mapping[str, Target]) -> None:
        """Do one pass.

        Raises:
            Unavailable: the broker or the store is down; what was done so far stands.
        """
        async with self._turn:
            await self._sync()
            for symbol in self._symbols:
                quote = self._quotes.get(symbol)
                if quote is not None:
                    await self._step(symbol, asked.get(symbol, Target.UNKNOWN), quote)

    async def cancel_all(self) -> int:
        """Cancel all own open orders, and hear what became of them; return how many were open.

        Raises:
            Unavailable: the broker or the store is down; some may be cancelled.
        """
        async with self._turn:
            await self._sync()
            return await self._cancel_known()

    async def _sync(self) -> None:
        """Hear the venue's word on all own orders, and cancel those of an earlier life."""
        words = await self._broker.call("OpenOrders", lambda client: client.open_orders())
        by_client_id = {word.client_id: word for word in words if self._book.owns(word.client_id)}
        gone: list[Order] = []
        for order in self._book.alive():
            word = by_client_id.pop(order.client_id, None)
            if word is None:
                gone.append(order)
            else:
                await self._book.hear(order, word)
        await self._hear_of(gone)
        for word in by_client_id.values():
            log.warning("unknown_order_cancelled", venue_id=word.venue_id)
            await self._cancel_at_venue(word.venue_id)
        if not self._adopted:
            await self._cancel_known()
            self._adopted = True

    async def _cancel_known(self) -> int:
        known = [order for order in self._book.alive() if order.venue_id is not None]
        for order in known:
            await self._cancel_at_venue(order.venue_id or "")
        await self._hear_of(known)
        return len(known)

    async def _hear_of(self, orders: list[Order]) -> None:
        """Ask about orders that are not open (any more)."""
        known = {order.venue_id: order for order in orders if order.venue_id is not None}
        if known:
            ids = list(known)
            for word in await self._broker.call("QueryOrders", lambda client: client.orders(ids)):
                await self._book.hear(known[word.venue_id], word)
        for order in orders:
            if order.venue_id is None:
                await self._find(order)

    async def _find(self, order: Order) -> None:
        """Find out whether an order arrived whose acknowledgement did not."""
        word: VenueOrder | None = await self._broker.call(
            "ClosedOrders", lambda client: client.closed_order(order.client_id)
        )
        if word is not None:
            await self._book.hear(order, word)
        elif clock.timestamp() - order.created_at > LOST_SECONDS:
            log.warning("order_lost", order=order.client_id)
            await self._book.end(order, OrderStatus.REJECTED)

    async def _step(self, symbol: str, target: Target, quote: Quote) -> None:
        step = plan(
            target=target,
            held=self._book.position(symbol).quantity,
            alive=self._book.alive(symbol),
            quote=quote,
            rules=self._broker.client.rules(symbol),
            notional=self._notional,
            lifetime=self._lifetime,
            now=clock.timestamp(),
        )
        if isinstance(step, Cancel):
            await self._cancel_at_venue(step.order.venue_id or "")
        elif isinstance(step, Submit):
            await self._submit(symbol, step, quote)

    async def _submit(self, symbol: str, step: Submit, quote: Quote) -> None:
        denial = self._denial(symbol, step, quote)
        if denial is not None:
            log.info("order_denied", symbol=symbol, code=denial.code, detail=denial.detail)
            self.metrics.order_denied(denial.code)
            return
        order = Order(
            client_id=new_client_id(self._bot),
            symbol=symbol,
            side=step.side,
            price=step.price,
            quantity=step.quantity,
            created_at=clock.timestamp(),
        )
        await self._book.begin(order)
        began = clock.monotonic()
        try:
            venue_id = await self._broker.call("AddOrder", lambda client: client.submit(order))
        except VenueRefused as error:
            log.warning("order_rejected", order=order.client_id, error=str(error))
            await self._book.end(order, OrderStatus.REJECTED, str(error))
            return
        self.metrics.order_acknowledged(clock.monotonic() - began, order_id=order.client_id)
        await self._book.begin(replace(order, venue_id=venue_id, status=OrderStatus.ACCEPTED))

    def _denial(self, symbol: str, step: Submit, quote: Quote) -> Denial | None:
        if self.stopping:
            return Denial(code="stopping", detail="the bot is stopping")
        if clock.timestamp() - quote.at > self._stale:
            return Denial(code="market_data_stale", detail=f"the price is from {quote.at:.0f}")
        if step.quantity < self._broker.client.rules(symbol).minimum:
            return Denial(code="below_minimum_size", detail=f"{step.quantity} is too little")
        return self._gate.check(
            side=step.side,
            quantity=step.quantity,
            position=self._book.position(symbol).quantity,
        )

    async def _cancel_at_venue(self, venue_id: str) -> None:
        try:
            await self._broker.call("CancelOrder", lambda client: client.cancel(venue_id))
        except VenueRefused as error:
            # It was filled or cancelled in the meantime; the next word on it will tell.
            log.info("cancel_refused", venue_id=venue_id, error=str(error))
