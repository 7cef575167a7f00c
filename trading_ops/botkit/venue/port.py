"""The seam between the bot and a broker: what is asked, and the words of the answers.

Whoever trades on another venue writes one adapter with this shape; nothing else of the bot knows
the venue. Quantities are in base currency, prices and costs in quote currency, times in seconds
since the epoch, all amounts exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

import aiohttp

from trading_ops.agent import Side
from trading_ops.botkit.orders.market import Rules
from trading_ops.botkit.orders.order import Order, VenueOrder

PUBLIC = ("AssetPairs", "Time", "OHLC")
CALLS = ("BalanceEx", "OpenOrders", "QueryOrders", "OpenPositions", "GetWebSocketsToken")
HISTORY = ("ClosedOrders", "TradesHistory", "Ledgers")
COMMANDS = ("AddOrder", "CancelOrder", "CancelAll", "CancelAllOrdersAfter")
ENDPOINTS = (*PUBLIC, *CALLS, *HISTORY, *COMMANDS)
"""The requests of an adapter, as the `endpoint` label of metrics has them."""


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What the account has of one currency."""

    total: Decimal
    held: Decimal = Decimal(0)
    """Of the total, what open orders have put aside."""

    @property
    def free(self) -> Decimal:
        """Return what new orders can use."""
        return self.total - self.held


@dataclass(frozen=True, kw_only=True)
class VenueTrade:
    """One trade on the account, whoever ordered it."""

    trade_id: str
    venue_id: str
    """Of the order that it filled."""

    client_id: str | None
    """Of the order, where the venue tells it with the trade."""

    symbol: str
    side: Side
    quantity: Decimal
    cost: Decimal
    fee: Decimal
    at: float


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """One change of a balance that is no trade: a deposit, a withdrawal, an adjustment."""

    ledger_id: str
    kind: str
    """The venue's own word for it."""

    currency: str
    amount: Decimal
    """Signed; what the balance changed by, before the fee."""

    fee: Decimal
    at: float


@dataclass(frozen=True, kw_only=True)
class History:
    """What happened on the account from a moment on."""

    since: float
    trades: tuple[VenueTrade, ...]
    ledger: tuple[LedgerEntry, ...]
    complete: bool
    """False: the venue did not tell all of it, so that nothing follows from what is absent."""


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """Where a reading of the history stands; adapters add what they need, and only they read it."""

    endpoint: str = "TradesHistory"
    """What is asked next, as metrics have it."""


@dataclass(frozen=True, kw_only=True)
class HistoryPage:
    """What one request tells of the history."""

    trades: tuple[VenueTrade, ...] = ()
    ledger: tuple[LedgerEntry, ...] = ()
    complete: bool = True
    """False: here the venue left something out, so that nothing follows from what is absent."""

    following: Cursor | None = None
    """Of the next page; None: this was the last."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What the venue says of the account; read one after the other, so nearly at one moment."""

    at: float
    """When the first of the answers was asked for."""

    open_orders: tuple[VenueOrder, ...]
    balances: Mapping[str, Balance]
    positions: Mapping[str, Decimal] = field(default_factory=dict)
    """Signed quantities by symbol, of a venue that keeps positions apart from balances."""


@dataclass(frozen=True, kw_only=True)
class Candle:
    """One bar."""

    opened_at: float
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    """In base currency."""


class Brokerage(Protocol):
    """What the bot asks of a venue.

    Each method raises an error of the adapter's library when it fails; `code_of` in
    `venue_errors` tells what it means. None of them tries again by itself.
    """

    async def load_markets(self) -> None:
        """Load what is traded, and how."""
        ...

    def rules(self, symbol: str) -> Rules:
        """Return the rules of a symbol; markets must be loaded.

        Raises:
            KeyError: the venue does not trade it.
        """
        ...

    async def server_time(self) -> float:
        """Return the venue's clock."""
        ...

    async def balances(self) -> Mapping[str, Balance]:
        """Return what the account has, by currency."""
        ...

    async def positions(self) -> Mapping[str, Decimal]:
        """Return signed positions by symbol; empty where a position is a balance."""
        ...

    async def open_orders(self) -> list[VenueOrder]:
        """Return all open orders of the account."""
        ...

    async def orders(self, venue_ids: Sequence[str]) -> list[VenueOrder]:
        """Return these orders, whatever became of them; unknown ones are left out."""
        ...

    async def find(self, client_id: str) -> VenueOrder | None:
        """Return the order with this client id, open or not; None: the venue has none."""
        ...

    async def history(self, since: float, cursor: Cursor) -> HistoryPage:
        """Return a page of the trades and other changes of balances since a moment.

        The same cursor asks for the same page again. `history.read_history` reads them all.
        """
        ...

    async def submit(self, order: Order) -> str:
        """Place an order; return the venue's id."""
        ...

    async def cancel(self, venue_id: str) -> None:
        """Cancel an order."""
        ...

    async def cancel_all(self) -> int:
        """Cancel all open orders of the account; return how many there were."""
        ...

    async def cancel_all_after(self, seconds: int) -> None:
        """Have everything cancelled after so many seconds unless told again; 0: never."""
        ...

    async def candles(self, symbol: str, *, timeframe: str, since: float) -> list[Candle]:
        """Return bars, oldest first; the last one may still be open."""
        ...

    async def close(self) -> None:
        """End the adapter; a session that was given to it is not its own and stays."""
        ...


class Adapter(Brokerage, Protocol):
    """A brokerage over HTTP whose session is the broker's, and can be replaced."""

    def use(self, session: aiohttp.ClientSession) -> None:
        """Make all further requests through this session."""
        ...
