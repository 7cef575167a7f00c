"""Whatever a strategy wants and the market does: what is let through never breaks a limit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.botkit.risky import NOW, Bot, intent, quote
from trading_ops.agent import Side
from trading_ops.botkit.orders.checks import Intent
from trading_ops.botkit.risk.limits import Holding
from trading_ops.botkit.risk.settings import RiskLimits

SYMBOLS = ("A/USD", "B/USD", "C/USD", "D/EUR")
MINIMUM = Decimal("0.01")
LIMITS = RiskLimits(exposure=Decimal(8), orders=6, orders_seconds=5.0)


@dataclass
class Resting:
    """An order that was let through and is not filled."""

    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal


@dataclass
class Account:
    """A bot's world, with a book-keeping of its own."""

    now: float = NOW
    prices: dict[str, Decimal] = field(default_factory=lambda: dict.fromkeys(SYMBOLS, Decimal(100)))
    held: dict[str, Decimal] = field(default_factory=lambda: dict.fromkeys(SYMBOLS, Decimal(0)))
    resting: list[Resting] = field(default_factory=list)
    sent: list[tuple[float, bool]] = field(default_factory=list)

    def buying(self, symbol: str) -> Decimal:
        buys = (
            order for order in self.resting if order.symbol == symbol and order.side is Side.BUY
        )
        return sum((buy.price * buy.quantity for buy in buys), Decimal(0))

    def holdings(self) -> list[Holding]:
        return [
            Holding(
                symbol=symbol,
                quantity=self.held[symbol],
                price=self.prices[symbol],
                minimum=MINIMUM,
                buying=self.buying(symbol),
            )
            for symbol in SYMBOLS
        ]

    def wanted(self, symbol: str, side: Side, quantity: Decimal, off: Decimal) -> Intent:
        same = [order for order in self.resting if order.symbol == symbol and order.side is side]
        return intent(
            side,
            str(quantity),
            symbol=symbol,
            price=self.prices[symbol] * (1 + off / 100),
            quote=quote(self.prices[symbol]),
            position=self.held[symbol],
            committed=sum((order.quantity for order in same), Decimal(0)),
            at=self.now,
        )

    def worth(self, currency: str) -> Decimal:
        mine = [symbol for symbol in SYMBOLS if symbol.endswith(currency)]
        return sum((self.held[s] * self.prices[s] + self.buying(s) for s in mine), Decimal(0))

    def fill(self, order: Resting, share: Decimal) -> None:
        part = (order.quantity * share).quantize(Decimal("0.0001"))
        sign = 1 if order.side is Side.BUY else -1
        self.held[order.symbol] += sign * part
        order.quantity -= part
        if not order.quantity:
            self.resting.remove(order)


quantities = st.sampled_from(["0.0099", "0.01", "0.01", "0.02", "0.03", "0.05", "0.0501", "0.1"])
orders = st.tuples(
    st.just("order"),
    st.sampled_from(SYMBOLS),
    st.sampled_from([Side.BUY, Side.BUY, Side.SELL]),
    quantities.map(Decimal),
    st.sampled_from([-3, -2, 0, 0, 0, 1, 2, 3]).map(Decimal),
)
prices = st.tuples(
    st.just("price"),
    st.sampled_from(SYMBOLS),
    st.sampled_from([-30, -10, -1, 1, 10, 40]).map(Decimal),
)
fills = st.tuples(st.just("fill"), st.integers(0, 20), st.sampled_from(["0.3", "0.5", "1", "1"]))
cancels = st.tuples(st.just("cancel"), st.integers(0, 20))
times = st.tuples(st.just("time"), st.sampled_from([0.1, 1.0, 6.0]))
actions = st.one_of(orders, orders, orders, prices, fills, fills, cancels, times)


@settings(max_examples=100)
@given(st.lists(actions, min_size=30, max_size=60))
def test_no_order_that_is_let_through_breaks_a_limit(steps: Sequence[tuple[object, ...]]) -> None:
    """In a model with its own arithmetic, were every open order filled at its price."""
    account, bot = Account(), Bot(LIMITS)
    for action in steps:
        bot.holdings = account.holdings()
        match action:
            case ("order", str(symbol), Side() as side, Decimal() as quantity, Decimal() as off):
                _try(account, bot, account.wanted(symbol, side, quantity, off))
            case ("price", str(symbol), Decimal() as percent):
                account.prices[symbol] *= 1 + percent / 100
            case ("fill", int(index), str(share)) if account.resting:
                account.fill(account.resting[index % len(account.resting)], Decimal(share))
            case ("cancel", int(index)) if account.resting:
                account.resting.pop(index % len(account.resting))
            case ("time", float(seconds)):
                account.now += seconds
            case _:
                pass  # nothing rests
        assert all(quantity >= 0 for quantity in account.held.values())


def _try(account: Account, bot: Bot, wanted: Intent) -> None:
    if bot.code(wanted) is not None:
        return
    symbol, shrinks = wanted.symbol, wanted.reduces_position
    account.resting.append(Resting(symbol, wanted.side, wanted.price, wanted.quantity))
    account.sent.append((account.now, shrinks))
    recent = [order for at, order in account.sent if at > account.now - LIMITS.orders_seconds]
    assert len(recent) <= 2 * LIMITS.orders
    off = abs(wanted.price / account.prices[symbol] - 1) * 100
    if shrinks:
        assert wanted.side is Side.SELL
        assert wanted.price >= account.prices[symbol] * Decimal("0.98")
        return
    assert len(recent) <= LIMITS.orders
    assert off <= LIMITS.collar_percent
    sellable = account.held[symbol] if account.held[symbol] >= MINIMUM else Decimal(0)
    size = sellable * account.prices[symbol] + account.buying(symbol)
    assert size <= LIMITS.position_size
    assert account.worth(symbol[-3:]) <= LIMITS.exposure
    open_ones = {s for s in SYMBOLS if account.held[s] >= MINIMUM or account.buying(s)}
    assert len(open_ones) <= LIMITS.open_positions


@given(st.decimals("0.0001", "9", places=4), st.decimals("0.0001", "9", places=4))
def test_an_exit_at_the_market_always_passes(held: Decimal, quantity: Decimal) -> None:
    """Whatever is wrong: as long as it is no more than there is, and the rate is not used up."""
    bot = Bot(unknown_reason="no prices", balance_age=None)
    wanted = intent(Side.SELL, str(min(held, quantity)), position=held)
    assert bot.code(wanted) is None
