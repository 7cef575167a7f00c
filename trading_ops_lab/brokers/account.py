"""A cash account with shares, and a market that fills its orders; known to each protocol's server.

Market orders fill at once in two parts, limit and stop orders when the price reaches them.
"""

import random
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from trading_ops import clock

CENT = Decimal("0.01")
CASH = "USD"
BUY, SELL = "buy", "sell"
LIMIT, MARKET, STOP = "limit", "market", "stop"
OPEN, FILLED, CANCELLED = "open", "filled", "cancelled"


class Refusal(Exception):
    """The broker rejects an order."""


@dataclass(frozen=True, kw_only=True)
class Fill:
    """One execution."""

    fill_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    cumulative: Decimal
    at: float


@dataclass(kw_only=True)
class PaperOrder:
    """An order of the account."""

    number: int
    client_id: str
    symbol: str
    side: str
    kind: str
    quantity: Decimal
    price: Decimal
    """Price of a limit or stop order."""

    notional: Decimal | None = None
    """Dollars of an order for an amount of money; the broker shows no quantity then."""

    owner: int = 0
    """The API client that placed it, if the protocol has several."""

    local_id: int = 0
    """That client's own order number."""

    security: str = "STK"
    """IB's type of the security; `BAG` has several legs."""

    holder: str = ""
    """The account it belongs to, where a login has several; empty for this one."""

    at: float = field(default_factory=clock.timestamp)
    order_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = OPEN
    fills: list[Fill] = field(default_factory=list)

    @property
    def filled(self) -> Decimal:
        """Return the filled quantity."""
        return sum((fill.quantity for fill in self.fills), Decimal(0))

    @property
    def average(self) -> Decimal:
        """Return the average price, rounded as brokers do."""
        cost = sum((fill.quantity * fill.price for fill in self.fills), Decimal(0))
        return (cost / self.filled).quantize(Decimal("0.000001")) if self.fills else Decimal(0)


class Account:
    """Cash, shares, orders and prices."""

    def __init__(
        self, prices: Mapping[str, Decimal], *, cash: Decimal, fee: Decimal = Decimal(0)
    ) -> None:
        """Open an account.

        Args:
            prices: of the shares, in dollars.
            cash: in dollars.
            fee: of each execution, in dollars.
        """
        self.prices = dict(prices)
        self.cash = cash
        self.shares: dict[str, Decimal] = {}
        self.orders: dict[str, PaperOrder] = {}
        self.transfers: list[tuple[str, Decimal, float]] = []
        """Deposits and withdrawals: ID, signed amount, time."""

        self._fee = fee
        self._random = random.Random(1)  # noqa: S311 - prices, no secret

    def quote(self, symbol: str) -> tuple[Decimal, Decimal]:
        """Return bid and ask."""
        return self.prices[symbol] - CENT, self.prices[symbol] + CENT

    def submit(self, order: PaperOrder) -> None:
        """Accept an order; a market order is filled at once.

        Raises:
            Refusal: the order is rejected.
        """
        if order.symbol not in self.prices:
            raise Refusal(f"asset {order.symbol} not found")
        if order.quantity <= 0:
            raise Refusal("qty must be > 0")
        bid, ask = self.quote(order.symbol)
        if order.side == BUY:
            price = order.price if order.kind == LIMIT else ask
            if price * order.quantity > self.cash - self.reserved_cash:
                raise Refusal("insufficient buying power")
        elif order.quantity > self.available(order.symbol):
            raise Refusal("insufficient qty available for order")
        self.orders[order.order_id] = order
        if order.kind == MARKET:
            self._fill(order, ask if order.side == BUY else bid)

    def cancel(self, order_id: str) -> bool:
        """Cancel an order; return whether it was open."""
        order = self.orders.get(order_id)
        if order is None or order.status != OPEN:
            return False
        order.status = CANCELLED
        return True

    def deposit(self, amount: Decimal) -> None:
        """Deposit cash, or withdraw it if negative."""
        self.cash += amount
        self.transfers.append((str(uuid.uuid4()), amount, clock.timestamp()))

    def move_prices(self) -> None:
        """Move each price by up to a tenth of a percent, and fill what they reach."""
        for symbol, price in self.prices.items():
            step = Decimal(self._random.randint(-10, 10)) / 10_000
            self.prices[symbol] = max(CENT * 2, (price * (1 + step)).quantize(CENT))
        for order in list(self.open_orders()):
            bid, ask = self.quote(order.symbol)
            at = ask if order.side == BUY else bid
            below = at <= order.price
            if below if (order.kind == LIMIT) == (order.side == BUY) else at >= order.price:
                self._fill(order, order.price if order.kind == LIMIT else at)

    def open_orders(self) -> Iterator[PaperOrder]:
        """Return the orders that may still be filled."""
        return (order for order in self.orders.values() if order.status == OPEN)

    def open_orders_by_id(self) -> Mapping[str, PaperOrder]:
        """Return the same by their IDs."""
        return {order.order_id: order for order in self.open_orders()}

    def fills(self) -> Iterator[tuple[PaperOrder, Fill]]:
        """Return all executions, oldest first."""
        found = [(order, fill) for order in self.orders.values() for fill in order.fills]
        return iter(sorted(found, key=lambda pair: (pair[1].at, pair[1].fill_id)))

    def available(self, symbol: str) -> Decimal:
        """Return the shares that no open order sells."""
        sold = [
            order for order in self.open_orders() if order.symbol == symbol and order.side == SELL
        ]
        return self.shares.get(symbol, Decimal(0)) - sum(
            (order.quantity for order in sold), Decimal(0)
        )

    @property
    def reserved_cash(self) -> Decimal:
        """Return the cash that open orders may need."""
        bought = [order for order in self.open_orders() if order.side == BUY]
        return sum((order.quantity * order.price for order in bought), Decimal(0))

    def _fill(self, order: PaperOrder, price: Decimal) -> None:
        # In two parts at two prices, so that the average price has to be rounded.
        first = order.quantity // 3 or order.quantity
        parts = [(first, price), (order.quantity - first, price + CENT)]
        for quantity, at in parts:
            if not quantity:
                continue
            now, sign = clock.timestamp(), 1 if order.side == BUY else -1
            order.fills.append(
                Fill(
                    fill_id=f"{int(now * 1e6):020d}.{len(order.fills)}",
                    quantity=quantity,
                    price=at,
                    fee=self._fee,
                    cumulative=order.filled + quantity,
                    at=now,
                )
            )
            self.cash -= sign * quantity * at + self._fee
            self.shares[order.symbol] = self.shares.get(order.symbol, Decimal(0)) + sign * quantity
        order.status = FILLED
