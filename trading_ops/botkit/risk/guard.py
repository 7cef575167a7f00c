"""The risk component: looks at losses and positions all the time, and holds the bot.

It needs neither the venue nor a pass: positions are in memory, prices are the last ones. A silent
feed does not end its looks; it ends new risk, since what is held cannot be valued any more. The
same follows when the component itself does not come round: orders that take on risk are denied
until it does.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from trading_ops import clock, logs
from trading_ops.agent import Hold, Holds, Side, TradingState
from trading_ops.botkit.component import Component, Unavailable
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.checks import Check
from trading_ops.botkit.orders.market import Quote
from trading_ops.botkit.records.events import Event, EventKind
from trading_ops.botkit.records.store import Store
from trading_ops.botkit.risk.checks import Facts, limit_checks
from trading_ops.botkit.risk.limits import (
    ZERO,
    Holding,
    Rate,
    exposure_of,
    positions_of,
    quote_of,
    size_of,
)
from trading_ops.botkit.risk.loss_watch import Breach, LossWatch
from trading_ops.botkit.risk.losses import Remembered
from trading_ops.botkit.risk.settings import RiskLimits
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

FACT = "risk"
"""The name of what is kept in the records."""

OWNER = "risk"
"""Of every hold that is laid here."""

LOOKS_MISSED = 5
"""After so many, nothing new is taken on."""

DAMAGED = "risk-memory"
"""The hold of a bot that cannot read what it lost before."""


class Guard(Component):
    """Watches the limits between orders, and gives the checks that watch them before each one."""

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
        """Take what it looks at.

        Args:
            metrics: of the bot.
            limits: of the settings.
            symbols: that are traded.
            stale_seconds: age from which a price is too old.
            book: of orders and positions.
            store: the records.
            holds: of the agent, where a breach is laid.
            quotes: the latest prices.
            minimum: returns the venue's smallest order of a symbol, zero while it is unknown.
            balances_at: returns when balances were last read, in seconds since the epoch.
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
            lifted=self._lifted,
            on_accepted=lambda detail: self._tell("accepted", detail),
        )
        self._untold: list[Event] = []
        self._unstored: set[str] = set()
        self._looked_at: float | None = None
        self._rate = Rate(limits.orders_seconds)
        facts = Facts(holdings=self.holdings, blind=self.blind, balance_age=self._balance_age)
        self.checks: tuple[Check, ...] = limit_checks(limits, facts, self._rate, metrics)

    async def run(self) -> None:
        """Remember, then look at the interval, until cancelled."""
        while True:
            try:
                await self.look()
            except (Unavailable, StoreError) as error:
                self.fail(f"the records: {error}")
            else:
                self.succeed()
                self.detail = "watching"
            self.mark(up=self.breaker.closed and self._looked_at is not None, detail=self.detail)
            await asyncio.sleep(self._limits.interval_seconds)

    async def close(self) -> None:
        """Whoever is restarted looks before anything new is taken on."""
        await super().close()
        self._looked_at = None

    async def look(self) -> None:
        """Look once; what is found holds the bot before anything is stored.

        Raises:
            StoreError: what an earlier process knew cannot be read, or something not be stored.
            Unavailable: the store is closed; it is tried again at the next look.
        """
        if self._losses.memory is None:
            await self._remember()
        holdings = self.holdings()
        for breach in (*self._losses.look(holdings), *self._excesses(holdings)):
            self._hold(breach)
        self._show_uses(holdings)
        self._looked_at = clock.monotonic()
        await self._keep()

    def holdings(self) -> list[Holding]:
        """Return what is held and being bought, of each symbol that is traded or held."""
        return [self._holding(symbol) for symbol in self._all_symbols]

    def blind(self) -> str | None:
        """Return why losses and positions are not known well enough to take on more, or None."""
        longest = LOOKS_MISSED * self._limits.interval_seconds
        if self._looked_at is None or clock.monotonic() - self._looked_at > longest:
            return "losses are not being watched"
        for held in self.holdings():
            if not held.valued:
                return f"what is held of {held.symbol} cannot be valued: its price is too old"
        return None

    def hold_id(self, limit: str, currency: str) -> str:
        """Return the id of a limit's hold; a second quote currency is named in it."""
        main = quote_of(self._symbols[0])
        return f"risk-{limit}" if currency in {"", main} else f"risk-{limit}-{currency}"

    async def _remember(self) -> None:
        try:
            memory = await self._store.fact(FACT, Remembered)
        except StoreError as error:
            if "damaged" in str(error):
                self._lay(DAMAGED, TradingState.HALTED, str(error))
            raise
        since = clock.timestamp() - self._limits.orders_seconds
        for at in await self._store.order_times(since):
            self._rate.add(at)
        self._losses.memory = memory or Remembered()

    async def _keep(self) -> None:
        if self._untold:
            told = tuple(self._untold)
            await self._book.note(*told)
            self._untold = self._untold[len(told) :]
        if self._losses.changed:
            self._losses.changed = False
            try:
                await self._store.set_fact(FACT, self._losses.memory)
            except BaseException:
                self._losses.changed = True
                raise

    def _excesses(self, holdings: Sequence[Holding]) -> list[Breach]:
        """Return what outgrew its limit so far that neither a check nor a price explains it."""
        limits, found = self._limits, []
        room = 1 + limits.excess_percent / 100
        for held in holdings:
            size, most = size_of(held), limits.position_size * room
            if size > most:
                found.append(self._excess("position_size", held.currency, size, most))
        for currency in dict.fromkeys(held.currency for held in holdings):
            worth, most = exposure_of(holdings, currency), limits.exposure * room
            if worth > most:
                found.append(self._excess("exposure", currency, worth, most))
        number = len(positions_of(holdings))
        if number > limits.open_positions:
            most = Decimal(limits.open_positions)
            found.append(self._excess("open_positions", "", Decimal(number), most))
        return found

    def _excess(self, limit: str, currency: str, used: Decimal, most: Decimal) -> Breach:
        state = TradingState.REDUCING.value
        return Breach(limit, self.hold_id(limit, currency), currency, used, most, state)

    def _hold(self, breach: Breach) -> None:
        reason = f"{breach.limit}: {breach.used:.8g} {breach.currency}".rstrip()
        reason += f", and {breach.allowed:.8g} is allowed"
        if self._lay(breach.hold, TradingState(breach.state), reason):
            self.metrics.risk_limit_broken(breach.limit)
            log.error("risk_limit_reached", limit=breach.limit, detail=reason, state=breach.state)
            told = {"limit": breach.limit, "hold": breach.hold, "reason": reason}
            self._tell("breach", told | {"state": breach.state})

    def _lay(self, name: str, state: TradingState, reason: str) -> bool:
        """Lay a hold unless it stands; return whether it is new. One not stored is tried again."""
        stands = any(hold.id == name for hold in self._holds.holds)
        if stands and name not in self._unstored:
            return False
        hold = Hold(id=name, state=state, owner=OWNER, reason=reason, at=clock.timestamp())
        try:
            self._holds.lay(hold)
            self._unstored.discard(name)
        except OSError as error:
            self._unstored.add(name)
            log.error("hold_not_stored", id=name, error=str(error))  # noqa: TRY400 - it is said
        return not stands

    def _lifted(self, name: str) -> float | None:
        if any(hold.id == name for hold in self._holds.holds):
            return None
        times = [float(one["lifted_at"]) for one in self._holds.lifted if one["id"] == name]
        return max(times, default=None)

    def _tell(self, code: str, detail: Mapping[str, str]) -> None:
        event = Event(at=clock.timestamp(), kind=EventKind.RISK, code=code, detail=dict(detail))
        self._untold.append(event)

    @property
    def _all_symbols(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self._symbols, *self._book.positions)))

    def _holding(self, symbol: str) -> Holding:
        quote = self._quotes.get(symbol)
        buys = (one for one in self._book.alive(symbol) if one.side is Side.BUY)
        return Holding(
            symbol=symbol,
            quantity=self._book.position(symbol).quantity,
            price=None if quote is None else quote.middle,
            minimum=self._minimum(symbol),
            buying=sum((one.remaining * one.price for one in buys), ZERO),
            fresh=quote is not None and abs(clock.timestamp() - quote.at) <= self._stale,
        )

    def _balance_age(self) -> float | None:
        at = self._balances_at()
        # One from the future is of before a clock that was set back.
        return None if at is None else abs(clock.timestamp() - at)

    def _show_uses(self, holdings: Sequence[Holding]) -> None:
        limits, used, now = self._limits, self.metrics.risk_limit_used, clock.timestamp()
        worth = {one.currency: exposure_of(holdings, one.currency) for one in holdings}
        for currency in worth:
            # As a pass shows it, without what is only being bought; but passes need a feed.
            mine = (one.worth for one in holdings if one.currency == currency)
            self.metrics.exposure(currency, float(sum(mine, ZERO)))
        self.metrics.open_positions(sum(one.quantity != 0 for one in holdings))
        number, largest = len(positions_of(holdings)), max(map(size_of, holdings), default=ZERO)
        used("exposure", float(max(worth.values(), default=ZERO) / limits.exposure))
        used("position_size", float(largest / limits.position_size))
        used("open_positions", number / limits.open_positions)
        used("order_rate", self._rate.count(now) / limits.orders)
        if self._quotes:
            oldest = min(quote.at for quote in self._quotes.values())
            used("market_data_age", (now - oldest) / self._stale)
        age = self._balance_age()
        if age is not None:
            used("balance_age", age / limits.balance_seconds)
