"""The orders component: refreshes the state of the orders, and takes the next step."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from trading_ops import clock, logs
from trading_ops.agent import Denial
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.checks import Check, Intent, first_denial
from trading_ops.botkit.orders.events import DENIED
from trading_ops.botkit.orders.market import Quote
from trading_ops.botkit.orders.order import Order, Purpose, new_client_id
from trading_ops.botkit.orders.step import Cancel, Submit
from trading_ops.botkit.orders.sync import OrderSync
from trading_ops.botkit.records.events import DECISION_PRICE, Event, EventLogKind
from trading_ops.botkit.risk.protection import CancelStop, with_protection, without_stops
from trading_ops.botkit.stage import Stage
from trading_ops.botkit.venue.broker import Broker
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.signals.source import Signal
from trading_ops_lab.paper.bot.trading.plan import plan
from trading_ops_lab.paper.bot.trading.strategy import Target

log = logs.get(__name__)


class Orders(Stage[Mapping[str, Target], None]):
    """One pass: refresh all own orders, then take at most one step per symbol."""

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        bot: str,
        symbols: Sequence[str],
        broker: Broker,
        book: Book,
        sync: OrderSync,
        checks: Sequence[Check],
        quotes: Mapping[str, Quote],
        notional: Decimal,
        lifetime_seconds: float,
        stop_percent: Decimal | None = None,
        decided: Callable[[str], Signal | None] = lambda _: None,
    ) -> None:
        """Set up the component.

        Args:
            metrics: of the bot.
            bot: its name, which marks its order ids.
            symbols: the traded symbols.
            broker: the rules of the symbols.
            book: of orders and positions.
            sync: submits and cancels them, and reads their state.
            checks: pre-trade checks; each order must pass all of them.
            quotes: the latest prices.
            notional: size of an entry, in quote currency.
            lifetime_seconds: age at which an open order is cancelled and placed again.
            stop_percent: distance of a protective stop below the entry; None: no stops.
            decided: returns the signal behind a symbol's target.
        """
        super().__init__("orders", metrics)
        self._bot = bot
        self._symbols = symbols
        self._broker = broker
        self._book = book
        self._sync = sync
        self._checks = checks
        self._quotes = quotes
        self._notional = notional
        self._lifetime = lifetime_seconds
        self._stop_percent = stop_percent
        self._decided = decided
        self._began = False
        self._denied: dict[str, str] = {}
        self._cancelled_stops: set[str] = set()
        self.lock = asyncio.Lock()
        """Held while orders are refreshed or sent, and during a comparison."""

    async def work(self, targets: Mapping[str, Target]) -> None:
        """Do one pass.

        Raises:
            Unavailable: the broker or the store is down; completed steps are kept.
        """
        async with self.lock:
            await self._sync.refresh()
            if not self._began:
                # Orders of an earlier run were placed at older prices.
                await self._sync.cancel_all(stops=self._stop_percent is None)
                self._began = True
            for symbol in self._symbols:
                quote = self._quotes.get(symbol)
                if quote is not None:
                    await self._step(symbol, targets.get(symbol, Target.UNKNOWN), quote)

    async def cancel_all(self, *, stops: bool = True) -> int:
        """Cancel all own open orders and refresh their state; return how many were open.

        Args:
            stops: whether to cancel protective stops too.

        Raises:
            Unavailable: the broker or the store is down; some may be cancelled.
        """
        async with self.lock:
            await self._sync.refresh()
            return await self._sync.cancel_all(stops=stops)

    async def listen(self) -> None:
        """Refresh the state of all own orders.

        Raises:
            Unavailable: the broker or the store is down; completed updates are kept.
        """
        async with self.lock:
            await self._sync.refresh()

    async def _step(self, symbol: str, target: Target, quote: Quote) -> None:
        self._cancelled_stops.discard(symbol)
        open_orders, held = self._book.open_orders(symbol), self._book.position(symbol)
        rules = self._broker.client.rules(symbol)
        step = plan(
            target=target,
            held=held.quantity,
            open_orders=open_orders if self._stop_percent is None else without_stops(open_orders),
            quote=quote,
            rules=rules,
            notional=self._notional,
            lifetime=self._lifetime,
            now=clock.timestamp(),
        )
        if self._stop_percent is not None:
            step = with_protection(
                step,
                open_orders=open_orders,
                held=held,
                price=quote.middle,
                rules=rules,
                stop_percent=self._stop_percent,
            )
        if isinstance(step, CancelStop) and step.then is not None:
            if await self._let_through(symbol, step.then, quote, dry=True):
                self._cancelled_stops.add(symbol)
                await self._sync.cancel(step.order)
        elif isinstance(step, Cancel):
            await self._sync.cancel(step.order)
        elif isinstance(step, Submit):
            intent = await self._let_through(symbol, step, quote)
            if intent is not None:
                await self._submit(intent, quote)

    async def _let_through(
        self, symbol: str, step: Submit, quote: Quote, *, dry: bool = False
    ) -> Intent | None:
        """Return the order that may be sent; None if it was denied, which is recorded.

        With `dry` it is only checked, because a stop must be cancelled first.
        """
        intent = Intent(
            symbol=symbol,
            side=step.side,
            quantity=step.quantity,
            price=step.price,
            quote=quote,
            rules=self._broker.client.rules(symbol),
            position=self._book.position(symbol).quantity,
            committed=sum(
                # Without stops: they are cancelled before an exit is sent.
                (
                    stop.remaining
                    for stop in without_stops(self._book.open_orders(symbol))
                    if stop.side is step.side
                ),
                Decimal(0),
            ),
            at=clock.timestamp(),
            type=step.type,
            stop_price=step.stop_price,
            purpose=step.purpose,
            dry=dry,
            ahead=len(self._cancelled_stops),
        )
        denial = first_denial(self._checks, intent)
        if denial is not None:
            await self._deny(intent, denial)
            return None
        self._denied.pop(symbol, None)
        return intent

    async def _submit(self, intent: Intent, quote: Quote) -> None:
        order = Order(
            client_id=new_client_id(self._bot),
            symbol=intent.symbol,
            side=intent.side,
            price=intent.price,
            quantity=intent.quantity,
            type=intent.type,
            stop_price=intent.stop_price,
            purpose=intent.purpose,
            created_at=clock.timestamp(),
        )
        signal = self._decided(order.symbol) if order.purpose is Purpose.STRATEGY else None
        why = signal.source if signal else order.purpose.value
        correlation = signal.id if signal else order.client_id
        events = [_event_of_signal(signal, order, quote)] if signal else []
        with logs.bound(order=order.client_id, strategy=why, correlation=correlation):
            await self._sync.submit(order, *events)

    async def _deny(self, intent: Intent, denial: Denial) -> None:
        self.metrics.order_denied(denial.code)
        if self._denied.get(intent.symbol) == denial.code:
            return  # the same denial is recorded once; the metric counts each
        self._denied[intent.symbol] = denial.code
        log.info("order_denied", symbol=intent.symbol, code=denial.code, detail=denial.detail)
        detail = {"outcome": DENIED, "side": intent.side.value, "quantity": str(intent.quantity)}
        detail |= {"price": str(intent.price), "why": denial.detail}
        await self._book.record_events(
            Event(
                at=intent.at,
                kind=EventLogKind.ORDER,
                code=denial.code,
                symbol=intent.symbol,
                detail=detail,
            )
        )


def _event_of_signal(signal: Signal, order: Order, quote: Quote) -> Event:
    """Return the event that records which signal an order follows from."""
    detail: dict[str, object] = {
        "signal": signal.id,
        "source": signal.source,
        "target": signal.target.value,
        "signal_at": signal.at,
        DECISION_PRICE: str(quote.middle),
    }
    if signal.confidence is not None:
        detail["confidence"] = signal.confidence
    if signal.horizon_seconds is not None:
        detail["horizon_seconds"] = signal.horizon_seconds
    return Event(
        at=clock.timestamp(),
        kind=EventLogKind.SIGNAL,
        code="ordered",
        symbol=order.symbol,
        order_id=order.client_id,
        detail=detail,
    )
