"""How much of each limit an order would use: pure, exact arithmetic.

Values are in the quote currency. Dust (a quantity below the venue's minimum order size) cannot be
sold, so it does not count as a position, but it does count towards the exposure.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trading_ops.agent import Side

ZERO = Decimal(0)
HUNDRED = Decimal(100)


def quote_of(symbol: str) -> str:
    """Return the quote currency of a symbol: USD for BTC/USD."""
    return symbol.partition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Holding:
    """The position and the open buys of one symbol."""

    symbol: str
    quantity: Decimal = ZERO
    price: Decimal | None = None
    """The mid price of the last quote, however old; None: no quote was received yet."""

    minimum: Decimal = ZERO
    """The venue's minimum order size, in base currency."""

    buying: Decimal = ZERO
    """Maximum remaining cost of open buys, in quote currency."""

    fresh: bool = True
    """Whether the price is recent enough to trade on."""

    @property
    def currency(self) -> str:
        """Return the quote currency."""
        return quote_of(self.symbol)

    @property
    def sellable(self) -> bool:
        """Return whether the quantity reaches the venue's minimum order size."""
        return self.quantity > 0 and self.quantity >= self.minimum

    @property
    def value(self) -> Decimal:
        """Return the value at the last price; zero if there is no price, see `valued`."""
        return self.quantity * (self.price or ZERO)

    @property
    def valued(self) -> bool:
        """Return whether the value is reliable: nothing sellable is held, or its price is fresh."""
        return not self.sellable or (self.price is not None and self.fresh)


def position_value(held: Holding) -> Decimal:
    """Return the value of a position with its open buys; dust counts as zero."""
    return (held.value if held.sellable else ZERO) + held.buying


def position_value_after(held: Holding, quantity: Decimal, price: Decimal) -> Decimal:
    """Return the value of a position once this buy and all open buys are filled."""
    return position_value(held) + quantity * price


def exposure_of(holdings: Iterable[Holding], currency: str) -> Decimal:
    """Return the value of all positions, dust and open buys in a quote currency."""
    mine = (holding for holding in holdings if holding.currency == currency)
    return sum((holding.value + holding.buying for holding in mine), ZERO)


def open_symbols(holdings: Iterable[Holding]) -> frozenset[str]:
    """Return the symbols with a sellable position or an open buy."""
    return frozenset(
        holding.symbol for holding in holdings if holding.sellable or holding.buying > 0
    )


def holding_of(holdings: Sequence[Holding], symbol: str) -> Holding:
    """Return the holding of a symbol, an empty one if there is none."""
    return next(
        (holding for holding in holdings if holding.symbol == symbol), Holding(symbol=symbol)
    )


def deviation_percent(price: Decimal, mid: Decimal) -> Decimal:
    """Return how far a price is above (+) or below (-) the mid price, in percent."""
    return (price - mid) / mid * HUNDRED


def unfavorable(side: Side, deviation: Decimal) -> bool:
    """Return whether the deviation costs money: a buy above the mid price, or a sell below it."""
    return deviation > 0 if side is Side.BUY else deviation < 0


class OrderRate:
    """Counts orders in a sliding window. Times are seconds since the epoch."""

    def __init__(self, seconds: float, at: Iterable[float] = ()) -> None:
        """Start with the times of earlier orders.

        Args:
            seconds: length of the window.
            at: when earlier orders were sent.
        """
        self._seconds = seconds
        self._at = deque(sorted(at))

    def count(self, now: float) -> int:
        """Return the number of orders in the window that ends now."""
        while self._at and self._at[0] <= now - self._seconds:
            self._at.popleft()
        return len(self._at)

    def add(self, at: float) -> None:
        """Count an order."""
        self._at.append(at)
