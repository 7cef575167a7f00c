"""The risk component: monitors losses and positions, and places a hold on the bot at a breach.

It needs neither the venue nor a trading pass: positions are in memory, and the last known prices
value them. When the price feed is silent the evaluation continues, but orders that add risk are
denied, because positions cannot be valued reliably. They are also denied when the evaluation itself
is late.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from trading_ops import clock, logs
from trading_ops.agent import Holds, Side, TradingHold, TradingState
from trading_ops.botkit.component import Component, Unavailable
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.checks import Check
from trading_ops.botkit.orders.market import Quote
from trading_ops.botkit.records.events import Event, EventLogKind
from trading_ops.botkit.records.store import Store
from trading_ops.botkit.risk.checks import RiskInputs, limit_checks
from trading_ops.botkit.risk.limits import (
    ZERO,
    Holding,
    OrderRate,
    exposure_of,
    open_symbols,
    position_value,
    quote_of,
)
from trading_ops.botkit.risk.loss_watch import Breach, LossWatch
from trading_ops.botkit.risk.losses import LossState
from trading_ops.botkit.risk.settings import RiskLimits
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

FACT = "risk"
"""The name of the fact in the records."""

OWNER = "risk"
"""The owner of every hold that the guard places."""

MISSED_EVALUATIONS = 5
"""After this many missed evaluations, orders that add risk are denied."""

UNREADABLE_STATE = "risk-memory"
"""The id of the hold of a bot that cannot read its earlier losses."""


class RiskGuard(Component):
    """Monitors the limits between orders; `checks` are the same limits as pre-trade checks.

    Example:
        guard = RiskGuard(metrics, limits=RiskLimits(), symbols=["BTC/USD"], stale_seconds=10.0,
                          book=book, store=store, holds=agent.holds, quotes=quotes,
                          minimum=lambda _: Decimal("0.0001"), balances_at=lambda: read_at)
        Supervisor([store, guard]).start()  # runs the evaluations
        denial = first_denial(guard.checks, intent)  # None: the order may be sent
    """

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        limits: RiskLimits,
        symbols: Sequence[str],
        stale_seconds: float,
        book: Book,
        store: Store,
        holds: Holds,
        quotes: Mapping[str, Quote],
        minimum: Callable[[str], Decimal],
        balances_at: Callable[[], float | None],
    ) -> None:
        """Set up the guard; `run` starts the evaluations.

        Args:
            metrics: of the bot.
            limits: the configured limits.
            symbols: the traded symbols.
            stale_seconds: age from which a price is too old to value a position.
            book: of orders and positions.
            store: the records.
            holds: of the agent; a breach places a hold there.
            quotes: the latest quotes by symbol.
            minimum: returns the venue's minimum order size of a symbol, zero while it is unknown.
            balances_at: returns when balances were last read, in seconds since the epoch; None if
                they never were.
        """
        super().__init__("risk", metrics)
        self._limits = limits
        self._symbols = tuple(symbols)
        self._stale = stale_seconds
        self._book = book
        self._store = store
        self._holds = holds
        self._quotes = quotes
        self._minimum = minimum
        self._balances_at = balances_at
        self._losses = LossWatch(
            metrics,
            limits=limits,
            positions=lambda: book.positions,
            hold_id=self.hold_id,
            released_at=self._released_at,
            on_accepted=lambda detail: self._add_event("accepted", detail),
        )
        self._pending_events: list[Event] = []
        self._unstored_holds: set[str] = set()
        self._evaluated_at: float | None = None
        self._rate = OrderRate(limits.orders_seconds)
        inputs = RiskInputs(
            holdings=self.holdings,
            unknown_reason=self.unknown_reason,
            balance_age=self._balance_age,
        )
        self.checks: tuple[Check, ...] = limit_checks(limits, inputs, self._rate, metrics)
        """The pre-trade checks; see `limit_checks` for their order."""

    async def run(self) -> None:
        """Evaluate the limits at the configured interval, until cancelled."""
        while True:
            try:
                await self.evaluate()
            except (Unavailable, StoreError) as error:
                self.fail(f"the records: {error}")
            else:
                self.succeed()
                self.detail = "watching"
            self.mark(up=self.breaker.closed and self._evaluated_at is not None, detail=self.detail)
            await asyncio.sleep(self._limits.interval_seconds)

    async def close(self) -> None:
        """Stop; after a restart, orders that add risk wait for the next evaluation."""
        await super().close()
        self._evaluated_at = None

    async def evaluate(self) -> None:
        """Evaluate all limits once; at a breach the hold is placed before anything is stored.

        Raises:
            StoreError: the earlier state cannot be read, or the new one cannot be stored.
            Unavailable: the store is closed; the next evaluation tries again.
        """
        if self._losses.state is None:
            await self._load_state()
        holdings = self.holdings()
        for breach in (*self._losses.evaluate(holdings), *self._exceeded(holdings)):
            self._hold_for(breach)
        self._export_uses(holdings)
        self._evaluated_at = clock.monotonic()
        await self._store_state()

    def holdings(self) -> list[Holding]:
        """Return the position and open buys of each symbol that is traded or held."""
        return [self._holding(symbol) for symbol in self._all_symbols]

    def unknown_reason(self) -> str | None:
        """Return why losses or positions are too uncertain to add risk, or None."""
        longest = MISSED_EVALUATIONS * self._limits.interval_seconds
        if self._evaluated_at is None or clock.monotonic() - self._evaluated_at > longest:
            return "the loss limits are not being evaluated"
        for held in self.holdings():
            if not held.valued:
                return f"the {held.symbol} position cannot be valued: its price is too old"
        return None

    def hold_id(self, limit: str, currency: str) -> str:
        """Return the id of a limit's hold; it names the currency unless it is the main one."""
        main = quote_of(self._symbols[0])
        return f"risk-{limit}" if currency in {"", main} else f"risk-{limit}-{currency}"

    async def _load_state(self) -> None:
        try:
            state = await self._store.fact(FACT, LossState)
        except StoreError as error:
            if "damaged" in str(error):
                self._place_hold(UNREADABLE_STATE, TradingState.HALTED, str(error))
            raise
        since = clock.timestamp() - self._limits.orders_seconds
        for at in await self._store.order_times(since):
            self._rate.add(at)
        self._losses.state = state or LossState()

    async def _store_state(self) -> None:
        if self._pending_events:
            events = tuple(self._pending_events)
            await self._book.record_events(*events)
            self._pending_events = self._pending_events[len(events) :]
        if self._losses.changed:
            self._losses.changed = False
            try:
                await self._store.set_fact(FACT, self._losses.state)
            except BaseException:
                self._losses.changed = True
                raise

    def _exceeded(self, holdings: Sequence[Holding]) -> list[Breach]:
        """Return the position limits that are exceeded by more than `excess_percent` allows."""
        limits, found = self._limits, []
        room = 1 + limits.excess_percent / 100
        for held in holdings:
            value, most = position_value(held), limits.position_size * room
            if value > most:
                found.append(self._excess("position_size", held.currency, value, most))
        for currency in dict.fromkeys(held.currency for held in holdings):
            exposure, most = exposure_of(holdings, currency), limits.exposure * room
            if exposure > most:
                found.append(self._excess("exposure", currency, exposure, most))
        number = len(open_symbols(holdings))
        if number > limits.open_positions:
            most = Decimal(limits.open_positions)
            found.append(self._excess("open_positions", "", Decimal(number), most))
        return found

    def _excess(self, limit: str, currency: str, used: Decimal, most: Decimal) -> Breach:
        state = TradingState.REDUCING.value
        return Breach(limit, self.hold_id(limit, currency), currency, used, most, state)

    def _hold_for(self, breach: Breach) -> None:
        reason = f"{breach.limit}: {breach.used:.8g} {breach.currency}".rstrip()
        reason += f", {breach.allowed:.8g} is allowed"
        if self._place_hold(breach.hold, TradingState(breach.state), reason):
            self.metrics.risk_limit_broken(breach.limit)
            log.error("risk_limit_reached", limit=breach.limit, detail=reason, state=breach.state)
            detail = {"limit": breach.limit, "hold": breach.hold, "reason": reason}
            self._add_event("breach", detail | {"state": breach.state})

    def _place_hold(self, name: str, state: TradingState, reason: str) -> bool:
        """Place a hold unless it is in force; return whether it is new.

        A hold that could not be stored is in force, and the next evaluation stores it.
        """
        in_force = self._in_force(name)
        if in_force and name not in self._unstored_holds:
            return False
        hold = TradingHold(id=name, state=state, owner=OWNER, reason=reason, at=clock.timestamp())
        try:
            self._holds.place(hold)
            self._unstored_holds.discard(name)
        except OSError as error:
            self._unstored_holds.add(name)
            log.error("hold_not_stored", id=name, error=str(error))  # noqa: TRY400 - the cause is in the message
        return not in_force

    def _in_force(self, name: str) -> bool:
        return any(hold.id == name for hold in self._holds.holds)

    def _released_at(self, name: str) -> float | None:
        if self._in_force(name):
            return None
        times = [float(hold["released_at"]) for hold in self._holds.released if hold["id"] == name]
        return max(times, default=None)

    def _add_event(self, code: str, detail: Mapping[str, str]) -> None:
        event = Event(at=clock.timestamp(), kind=EventLogKind.RISK, code=code, detail=dict(detail))
        self._pending_events.append(event)

    @property
    def _all_symbols(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self._symbols, *self._book.positions)))

    def _holding(self, symbol: str) -> Holding:
        quote = self._quotes.get(symbol)
        buys = (order for order in self._book.open_orders(symbol) if order.side is Side.BUY)
        return Holding(
            symbol=symbol,
            quantity=self._book.position(symbol).quantity,
            price=None if quote is None else quote.middle,
            minimum=self._minimum(symbol),
            buying=sum((buy.remaining * buy.price for buy in buys), ZERO),
            fresh=quote is not None and abs(clock.timestamp() - quote.at) <= self._stale,
        )

    def _balance_age(self) -> float | None:
        at = self._balances_at()
        # A time in the future was taken before the clock was set back.
        return None if at is None else abs(clock.timestamp() - at)

    def _export_uses(self, holdings: Sequence[Holding]) -> None:
        limits, used, now = self._limits, self.metrics.risk_limit_used, clock.timestamp()
        exposures = {
            holding.currency: exposure_of(holdings, holding.currency) for holding in holdings
        }
        for currency in exposures:
            # A trading pass exports the same value without open buys, but it needs a feed.
            mine = (holding.value for holding in holdings if holding.currency == currency)
            self.metrics.exposure(currency, float(sum(mine, ZERO)))
        self.metrics.open_positions(sum(holding.quantity != 0 for holding in holdings))
        number = len(open_symbols(holdings))
        largest = max(map(position_value, holdings), default=ZERO)
        used("exposure", float(max(exposures.values(), default=ZERO) / limits.exposure))
        used("position_size", float(largest / limits.position_size))
        used("open_positions", number / limits.open_positions)
        used("order_rate", self._rate.count(now) / limits.orders)
        if self._quotes:
            oldest = min(quote.at for quote in self._quotes.values())
            used("market_data_age", (now - oldest) / self._stale)
        age = self._balance_age()
        if age is not None:
            used("balance_age", age / limits.balance_seconds)
