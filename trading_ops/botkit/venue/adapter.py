"""The interface between a bot and its venue: `VenueAdapter` and the values that it returns.

To trade on another venue, implement `VenueAdapter`; no other part of botkit knows the venue.
Quantities are in base currency, prices and costs in quote currency, times in seconds since the
epoch. All amounts are exact decimals.

    venue: VenueAdapter = CcxtVenue(client, symbols=["BTC/USD"])
    await venue.load_markets()
    venue_id = await venue.submit(order)
    reports = await venue.orders([venue_id])
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol, TypeVar, runtime_checkable

import aiohttp

from trading_ops.agent import Side
from trading_ops.botkit.orders.market import Rules
from trading_ops.botkit.orders.order import Order, VenueOrder

T = TypeVar("T")

PUBLIC = ("AssetPairs", "Time", "OHLC")
CALLS = ("BalanceEx", "OpenOrders", "QueryOrders", "OpenPositions", "GetWebSocketsToken")
HISTORY = ("ClosedOrders", "TradesHistory", "Ledgers")
COMMANDS = ("AddOrder", "CancelOrder", "CancelAll", "CancelAllOrdersAfter")
ENDPOINTS = (*PUBLIC, *CALLS, *HISTORY, *COMMANDS)
"""The requests of an adapter; values of the metrics' label `endpoint`."""


@dataclass(frozen=True, kw_only=True)
class Balance:
    """The account's balance of one currency."""

    total: Decimal
    held: Decimal = Decimal(0)
    """The part of the total that is reserved by open orders."""

    @property
    def free(self) -> Decimal:
        """Return the part that new orders can use."""
        return self.total - self.held


@dataclass(frozen=True, kw_only=True)
class VenueTrade:
    """One trade on the account, from an order of the bot or any other."""

    trade_id: str
    venue_id: str
    """The venue's ID of the order that was filled."""

    client_id: str | None
    """The client ID of that order; None if the venue does not report it with the trade."""

    symbol: str
    side: Side
    quantity: Decimal
    cost: Decimal
    fee: Decimal
    at: float


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """A change of a balance other than a trade: a deposit, a withdrawal, an adjustment."""

    ledger_id: str
    kind: str
    """The venue's name of the kind."""

    currency: str
    amount: Decimal
    """The signed change of the balance, before the fee."""

    fee: Decimal
    at: float


@dataclass(frozen=True, kw_only=True)
class AccountHistory:
    """Trades and ledger entries of the account since a given time."""

    since: float
    trades: tuple[VenueTrade, ...]
    ledger: tuple[LedgerEntry, ...]
    complete: bool
    """False when entries may be missing; then nothing may be concluded from a missing entry."""


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """A position in the history; adapters subclass it and are the only readers of their fields."""

    endpoint: str = "TradesHistory"
    """The endpoint of the next request, as in `ENDPOINTS`."""


@dataclass(frozen=True, kw_only=True)
class AccountHistoryPage:
    """One page of the history: the result of one request."""

    trades: tuple[VenueTrade, ...] = ()
    ledger: tuple[LedgerEntry, ...] = ()
    complete: bool = True
    """False when the venue may have omitted entries of this page."""

    next_cursor: Cursor | None = None
    """Cursor of the next page; None after the last page."""


@dataclass(frozen=True, kw_only=True)
class AccountSnapshot:
    """The account at the venue, read by consecutive requests, so almost at one moment."""

    at: float
    """When the first request was sent."""

    open_orders: tuple[VenueOrder, ...]
    balances: Mapping[str, Balance]
    positions: Mapping[str, Decimal] = field(default_factory=dict)
    """Signed quantities by symbol, for venues that have positions apart from balances."""


@dataclass(frozen=True, kw_only=True)
class Candle:
    """One price bar."""

    opened_at: float
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    """In base currency."""


class VenueAdapter(Protocol):
    """The requests that a bot makes to its venue.

    A failed request raises an error of the adapter's library, which `venue.errors.error_code`
    classifies. No method retries: a request that was sent and not answered may have had an effect.
    """

    async def load_markets(self) -> None:
        """Load the markets and their trading rules."""
        ...

    def rules(self, symbol: str) -> Rules:
        """Return the trading rules of a symbol; call `load_markets` first.

        Raises:
            KeyError: the venue does not have this symbol.
        """
        ...

    async def server_time(self) -> float:
        """Return the venue's clock in seconds since the epoch."""
        ...

    async def balances(self) -> Mapping[str, Balance]:
        """Return the account's balances by currency."""
        ...

    async def positions(self) -> Mapping[str, Decimal]:
        """Return signed positions by symbol; empty on a spot market."""
        ...

    async def open_orders(self) -> list[VenueOrder]:
        """Return all open orders of the account."""
        ...

    async def orders(self, venue_ids: Sequence[str]) -> list[VenueOrder]:
        """Return the state of these orders, open or closed; unknown IDs are omitted."""
        ...

    async def find(self, client_id: str) -> VenueOrder | None:
        """Return the order with this client ID, open or closed.

        None means that the venue definitely has no such order; raise if that is uncertain.
        """
        ...

    async def history(self, since: float, cursor: Cursor) -> AccountHistoryPage:
        """Return one page of the trades and ledger entries since a given time.

        The same cursor returns the same page again. `history.read_history` reads all pages.
        """
        ...

    async def submit(self, order: Order) -> str:
        """Send an order with its client ID; return the venue's order ID."""
        ...

    async def cancel(self, venue_id: str) -> None:
        """Cancel an order by the venue's ID."""
        ...

    async def cancel_all(self) -> int:
        """Cancel all open orders of the account; return how many were open."""
        ...

    async def cancel_all_after(self, seconds: int) -> None:
        """Arm the dead man's switch: the venue cancels all orders after `seconds`; 0 disarms it."""
        ...

    async def candles(self, symbol: str, *, timeframe: str, since: float) -> list[Candle]:
        """Return bars since a given time, oldest first; the last one may still be open."""
        ...

    async def close(self) -> None:
        """Close the adapter, but not a session that was passed to it."""
        ...


class HttpVenueAdapter(VenueAdapter, Protocol):
    """A venue adapter over HTTP whose session belongs to the `Broker`, which can replace it."""

    def use_session(self, session: aiohttp.ClientSession) -> None:
        """Make all further requests through this session."""
        ...


@runtime_checkable
class ConnectedVenueAdapter(VenueAdapter, Protocol):
    """A venue adapter whose library owns the connection, such as a socket."""

    def renew(self) -> None:
        """Drop the connection; the next request opens a new one."""
        ...


AnyVenueAdapter = HttpVenueAdapter | ConnectedVenueAdapter
"""The dependencies of the `Broker`."""


class VenueCaller(Protocol):
    """The part of the `Broker` that makes requests."""

    async def call(self, endpoint: str, request: Callable[[VenueAdapter], Awaitable[T]]) -> T:
        """Make a request.

        Raises:
            Unavailable: the venue cannot be reached now; the request may have arrived.
            VenueRefused: the venue rejected the request.
        """
        ...
