"""How much of each limit an order would use: pure, exact, and nothing but arithmetic.

Worth is in the quote currency. A rest that is below the venue's smallest order cannot be sold by
anybody: it is no position, but it is worth something, so it counts in the exposure.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trading_ops.agent import Side

ZERO = Decimal(0)
HUNDRED = Decimal(100)


def quote_of(symbol: str) -> str:
    """Return the currency in which a symbol's prices are."""
    return symbol.partition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What the bot has of one symbol, and what it is buying."""

    symbol: str
    quantity: Decimal = ZERO
    price: Decimal | None = None
    """The middle of the last quote, however old; None: there never was one."""

    minimum: Decimal = ZERO
    """The venue's smallest order."""

    buying: Decimal = ZERO
    """What open buys may still cost."""

    fresh: bool = True
    """Whether the price is young enough to trade on."""

    @property
    def currency(self) -> str:
        """Return the quote currency."""
        return quote_of(self.symbol)

    @property
    def sellable(self) -> bool:
        """Say whether it is enough to be sold."""
        return self.quantity > 0 and self.quantity >= self.minimum

    @property
    def worth(self) -> Decimal:
        """Return what it is worth at the last price; zero where none is known, see `valued`."""
        return self.quantity * (self.price or ZERO)

    @property
    def valued(self) -> bool:
        """Say whether its worth is known well enough to take on more: nothing, or a fresh price."""
        return not self.sellable or (self.price is not None and self.fresh)


def size_of(held: Holding) -> Decimal:
    """Return what a position is worth with all that is being bought; unsellable rests are none."""
    return (held.worth if held.sellable else ZERO) + held.buying


def size_after(held: Holding, quantity: Decimal, price: Decimal) -> Decimal:
    """Return the size of a position once this buy and all others were filled."""
    return size_of(held) + quantity * price


def exposure_of(holdings: Iterable[Holding], currency: str) -> Decimal:
    """Return what all positions, rests and open buys in a currency are worth."""
    mine = (one for one in holdings if one.currency == currency)
    return sum((one.worth + one.buying for one in mine), ZERO)


def positions_of(holdings: Iterable[Holding]) -> frozenset[str]:
    """Return the symbols in which something that can be sold is held, or is being bought."""
    return frozenset(one.symbol for one in holdings if one.sellable or one.buying > 0)


def find(holdings: Sequence[Holding], symbol: str) -> Holding:
    """Return what is held of a symbol."""
    return next((one for one in holdings if one.symbol == symbol), Holding(symbol=symbol))


def deviation_percent(price: Decimal, middle: Decimal) -> Decimal:
    """Return how far a price is above (+) or below (-) the middle."""
    return (price - middle) / middle * HUNDRED


def worsens(side: Side, deviation: Decimal) -> bool:
    """Say whether a price so far from the middle gives money away: a dear buy or a cheap sale."""
    return deviation > 0 if side is Side.BUY else deviation < 0


class Rate:
    """Orders in a sliding window, by their times in seconds."""

    def __init__(self, seconds: float, at: Iterable[float] = ()) -> None:
        """Take the window, and orders that were sent before."""
        self._seconds = seconds
        self._at = deque(sorted(at))

    def count(self, now: float) -> int:
        """Return how many orders are in the window that ends now."""
        while self._at and self._at[0] <= now - self._seconds:
            self._at.popleft()
        return len(self._at)

    def add(self, at: float) -> None:
        """Count an order."""
        self._at.append(at)
