"""A venue adapter for Interactive Brokers, through `ib_async`: shares of a cash account.

It talks to TWS or IB Gateway over one socket. A share is handled as on a spot market: the symbol
`AAPL/USD` has the base `AAPL`, and a holding is a balance of it. Other securities, and other
accounts than the first of the login, are left out. IB shows ended orders and executions of the
current day only, so the history is never complete.

    venue = InteractiveBrokers("127.0.0.1", 4002, client_id=1, symbols=["AAPL/USD"])
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TypeVar

from ib_async import IB, Contract, Fill, RequestError, Stock, Trade
from ib_async import Order as IbOrder
from ib_async.ib import StartupFetchNONE

from trading_ops import clock
from trading_ops.botkit.orders.market import Rules
from trading_ops.botkit.orders.order import Order, OrderType, VenueOrder
from trading_ops.botkit.venue.adapter import AccountHistoryPage, Balance, Candle, Cursor
from trading_ops.botkit.venue.errors import AnsweredError, VenueDown
from trading_ops.botkit.venue.ib_values import (
    NEW_YORK,
    TYPES,
    decimal,
    is_share_of,
    opened_at,
    order_of,
    trade_of,
)
from trading_ops.botkit.venue.rate_limit import CounterLimit

Result = TypeVar("Result")

RATE_LIMIT = CounterLimit(50, 50.0)
"""Messages to TWS: 50 a second. The library keeps to 45 and delays the rest."""

NO_SECURITY, LINK_LOST, LINK_BACK = 200, 1100, (1101, 1102)
"""Codes of IB's messages; the last ones are about the connection between TWS and IB."""

LEDGER = "$LEDGER:ALL"
BARS = {"1m": ("1 min", 60), "1h": ("1 hour", 3600), "1d": ("1 day", 86_400)}
CONFIRM_SECONDS = 0.2
"""Pause between two checks of the open orders after all were cancelled."""

RESET_HOURS = 1
"""After midnight in New York, in which the orders of the day before may have just disappeared."""


class InteractiveBrokers:
    """Makes each request once. A connection that ended stays down until `renew`.

    A request without an answer ends the connection, and the next one opens another: many of IB's
    answers name no request, so a late one would be taken for the answer to the next.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        client_id: int,
        symbols: Sequence[str],
        timeout_seconds: float = 5.0,
    ) -> None:
        """Connect with the first request.

        Args:
            host: of TWS or IB Gateway.
            port: of its API.
            client_id: of this connection; a second one with the same number is refused. Orders can
                be cancelled only by the number that placed them.
            symbols: such as `AAPL/USD`: a stock, routed by IB (`SMART`).
            timeout_seconds: of connecting and of each answer.
        """
        self._address = host, port
        self._client_id = client_id
        self._timeout = timeout_seconds
        self.contracts = contracts_of(symbols)
        self._rules: dict[str, Rules] = {}
        self._ib: IB | None = None
        self._link_up = True

    def renew(self) -> None:
        """Drop the connection; the next request opens a new one."""
        old, self._ib, self._link_up = self._ib, None, True
        if old is not None:
            old.disconnect()

    async def close(self) -> None:
        """Close the connection."""
        self.renew()

    async def load_markets(self) -> None:
        """Load the trading rules of the symbols."""
        for symbol, contract in self.contracts.items():
            details = await self._ask(partial(IB.reqContractDetailsAsync, contract=contract))
            if len(details) != 1:
                raise AnsweredError("refused", f"IB has {len(details)} contracts for {symbol}")
            lot = decimal(details[0].sizeIncrement)
            minimum = decimal(details[0].minSize)
            self._rules[symbol] = Rules(tick=decimal(details[0].minTick), lot=lot, minimum=minimum)

    def rules(self, symbol: str) -> Rules:
        """Return the trading rules of a symbol; call `load_markets` first.

        Raises:
            KeyError: the symbol was not loaded.
        """
        return self._rules[symbol]

    async def server_time(self) -> float:
        """Return the venue's clock in seconds since the epoch, without fractions."""
        return float((await self._ask(IB.reqCurrentTimeAsync)).timestamp())

    async def balances(self) -> dict[str, Balance]:
        """Return the cash in each currency and the shares of the account."""
        cash = await self._ask(_ledger)
        account = await self._account()
        found = {
            currency: Balance(total=Decimal(value))
            for (owner, tag, currency), value in cash.items()
            if (owner, tag) == (account, "TotalCashBalance") and currency != "BASE"
        }
        for position in await self._ask(IB.reqPositionsAsync):
            if is_share_of(account, position.account, position.contract) and position.position:
                found[position.contract.symbol] = Balance(total=decimal(position.position))
        return found

    async def positions(self) -> dict[str, Decimal]:
        """Return an empty mapping: shares are balances."""
        return {}

    async def open_orders(self) -> list[VenueOrder]:
        """Return the account's open orders of all API clients, and those placed in TWS.

        Raises:
            VenueDown: the executions of an order are not all reported yet.
        """
        return await self._exact(await self._ask(IB.reqAllOpenOrdersAsync))

    async def orders(self, venue_ids: Sequence[str]) -> list[VenueOrder]:
        """Return the state of these orders, open or ended today; unknown IDs are omitted."""
        wanted = set(venue_ids)
        return [order for order in await self._all() if order.venue_id in wanted]

    async def find(self, client_id: str) -> VenueOrder | None:
        """Return the order with this client ID, open or ended today; None if there is none.

        Raises:
            VenueDown: it was not found, and the orders of the day before may have just disappeared.
        """
        for order in await self._all():
            if order.client_id == client_id:
                return order
        if datetime.fromtimestamp(clock.timestamp(), NEW_YORK).hour < RESET_HOURS:
            raise VenueDown(f"IB starts a new day; order {client_id} may be of the day before")
        return None

    async def history(self, since: float, cursor: Cursor) -> AccountHistoryPage:
        """Return today's executions since a moment; never complete, and without transfers."""
        del cursor
        trades = [trade_of(fill) for fill in await self._fills()]
        return AccountHistoryPage(
            trades=tuple(trade for trade in trades if trade.at >= int(since)), complete=False
        )

    async def submit(self, order: Order) -> str:
        """Send an order for the day with its client ID; return IB's permanent order ID.

        Raises:
            AnsweredError: IB rejected it.
            TimeoutError: IB did not acknowledge it; it may have arrived.
        """
        wanted = IbOrder(
            action=order.side.value.upper(),
            orderType=TYPES[order.type],
            totalQuantity=float(order.quantity),
            tif="DAY",
            orderRef=order.client_id,
        )
        if order.type is OrderType.LIMIT:
            wanted.lmtPrice = float(order.price)
        if order.type is OrderType.STOP_LOSS:
            wanted.auxPrice = float(order.stop_price or order.price)
        contract = self.contracts[order.symbol]

        async def send(ib: IB) -> Trade:
            wanted.account = ib.managedAccounts()[0]
            trade, changed = ib.placeOrder(contract, wanted), asyncio.Event()
            trade.statusEvent += lambda _: changed.set()
            ib.disconnectedEvent += changed.set
            while not trade.orderStatus.permId and not trade.isDone() and ib.isConnected():
                changed.clear()
                await changed.wait()
            return trade

        trade = await self._ask(send)
        if trade.orderStatus.permId:
            return str(trade.orderStatus.permId)
        if trade.isDone():
            raise AnsweredError("refused", trade.log[-1].message)
        raise ConnectionError("the connection ended before IB acknowledged the order")

    async def cancel(self, venue_id: str) -> None:
        """Cancel an order of this client by IB's permanent ID.

        Raises:
            AnsweredError: it is not open, or another client placed it.
        """
        for trade in await self._ask(IB.reqAllOpenOrdersAsync):
            if str(trade.order.permId) == venue_id:
                # IB wants the number that the client gave it; two clients can use the same.
                if trade.order.clientId != self._client_id:
                    placed_by = f"API client {trade.order.clientId} placed order {venue_id}"
                    raise AnsweredError("refused", f"{placed_by}, and only it can cancel it")
                await self._ask(partial(_cancelled, trade=trade))
                return
        raise AnsweredError("refused", f"no open order {venue_id}")

    async def cancel_all(self) -> int:
        """Cancel all open orders of the login, of each client; return how many were open."""
        return await self._ask(_cancel_all)

    async def cancel_all_after(self, seconds: int) -> None:
        """IB has no dead man's switch.

        Raises:
            AnsweredError: always.
        """
        raise AnsweredError("refused", f"IB has no dead man's switch of {seconds} s")

    async def candles(self, symbol: str, *, timeframe: str, since: float) -> list[Candle]:
        """Return bars of at most the last day since a moment, oldest first."""
        size, seconds = BARS[timeframe]
        age = int(clock.timestamp() - since) // seconds * seconds + seconds
        duration = f"{min(age, 86_400)} S" if seconds < BARS["1d"][1] else f"{age // seconds} D"
        contract = self.contracts[symbol]
        bars = await self._ask(
            lambda ib: ib.reqHistoricalDataAsync(
                contract, "", duration, size, "TRADES", useRTH=True, formatDate=2, timeout=0
            )
        )
        candles = [
            Candle(
                opened_at=opened_at(bar.date),
                open=decimal(bar.open),
                high=decimal(bar.high),
                low=decimal(bar.low),
                close=decimal(bar.close),
                volume=decimal(bar.volume),
            )
            for bar in bars
        ]
        return [candle for candle in candles if candle.opened_at >= since]

    async def _ask(self, request: Callable[[IB], Awaitable[Result]]) -> Result:
        """Make a request within the timeout.

        Raises:
            AnsweredError: IB answered with an error.
            ConnectionError: the connection ended, or TWS has lost its own to IB.
            TimeoutError: no answer.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await request(await self._connected())
        except (TimeoutError, asyncio.CancelledError):
            self.renew()
            raise
        except RequestError as error:
            code = "refused" if error.code == NO_SECURITY else "other"
            raise AnsweredError(code, f"{error.code}: {error.message}") from error

    async def _connected(self) -> IB:
        if self._ib is None:
            host, port = self._address
            ib = await connected(host, port, self._client_id, self._timeout)
            ib.errorEvent += self._heard
            self._ib = ib
        if not self._ib.isConnected():
            raise ConnectionError("the connection to TWS ended")
        if not self._link_up:
            raise ConnectionError("TWS has lost its connection to IB")
        return self._ib

    def _heard(self, _request: int, code: int, *_: object) -> None:
        if code == LINK_LOST:
            self._link_up = False
        elif code in LINK_BACK:
            self._link_up = True

    async def _account(self) -> str:
        return (await self._connected()).managedAccounts()[0]

    async def _all(self) -> list[VenueOrder]:
        found = await self._ask(IB.reqAllOpenOrdersAsync)
        ended = await self._ask(lambda ib: ib.reqCompletedOrdersAsync(apiOnly=False))
        return await self._exact([*found, *ended])

    async def _fills(self) -> list[Fill]:
        """Return today's executions.

        Raises:
            VenueDown: the commission of one is not reported yet.
        """
        await self._ask(IB.reqExecutionsAsync)
        # Not its result: the library adds commissions to the fills that it keeps.
        account = await self._account()
        fills = [
            fill
            for fill in (await self._connected()).fills()
            if is_share_of(account, fill.execution.acctNumber, fill.contract)
        ]
        if any(not fill.commissionReport.execId for fill in fills):
            raise VenueDown("the commissions of today's executions are not all reported yet")
        return fills

    async def _exact(self, trades: Sequence[Trade]) -> list[VenueOrder]:
        """Convert the account's orders of shares, with costs and fees of their executions.

        Raises:
            VenueDown: the executions of an order are not all reported yet.
        """
        account = await self._account()
        reports = [
            order_of(trade)
            for trade in trades
            if is_share_of(account, trade.order.account, trade.contract)
        ]
        if not any(report.filled for report in reports):
            return reports
        fills = [trade_of(fill) for fill in await self._fills()]
        exact = []
        for report in reports:
            own = [fill for fill in fills if fill.venue_id == report.venue_id]
            if sum((fill.quantity for fill in own), Decimal(0)) != report.filled:
                raise VenueDown(f"the fills of order {report.venue_id} are not all reported yet")
            cost = sum((fill.cost for fill in own), Decimal(0))
            fee = sum((fill.fee for fill in own), Decimal(0))
            exact.append(replace(report, cost=cost, fee=fee))
        return exact


async def connected(host: str, port: int, client_id: int, timeout_seconds: float) -> IB:
    """Return a new connection.

    Raises:
        OSError: nothing listens there, or the client ID is in use.
        TimeoutError: no answer.
    """
    ib = IB()
    ib.RaiseRequestErrors = True
    await ib.connectAsync(
        host, port, client_id, timeout=timeout_seconds, fetchFields=StartupFetchNONE
    )
    return ib


def contracts_of(symbols: Sequence[str]) -> dict[str, Contract]:
    """Return IB's contracts of symbols such as `AAPL/USD`."""
    parts = {symbol: symbol.partition("/") for symbol in symbols}
    return {symbol: Stock(name, "SMART", currency) for symbol, (name, _, currency) in parts.items()}


async def _ledger(ib: IB) -> dict[tuple[str, str, str], str]:
    """Return the account's ledger by account, tag and currency."""
    number = ib.client.getReqId()
    ib.wrapper.acctSummary.clear()
    answered = ib.wrapper.startReq(number)
    ib.client.reqAccountSummary(number, "All", LEDGER)
    try:
        await answered
    finally:
        ib.client.cancelAccountSummary(number)
    return {key: value.value for key, value in ib.wrapper.acctSummary.items()}


async def _cancelled(ib: IB, trade: Trade) -> None:
    changed = asyncio.Event()
    trade.statusEvent += lambda _: changed.set()
    ib.disconnectedEvent += changed.set
    ib.cancelOrder(trade.order)
    while not trade.isDone():
        if not ib.isConnected():
            raise ConnectionError("the connection ended before IB confirmed the cancel")
        changed.clear()
        await changed.wait()


async def _cancel_all(ib: IB) -> int:
    """Cancel all orders, and poll until none of them is open.

    IB does not report the end of another client's order.
    """
    there = await ib.reqAllOpenOrdersAsync()
    numbers = {trade.order.permId for trade in there}
    ib.reqGlobalCancel()
    while True:
        left = [trade for trade in await ib.reqAllOpenOrdersAsync() if not trade.isDone()]
        if not any(trade.order.permId in numbers for trade in left):
            return len(there)
        await asyncio.sleep(CONFIRM_SECONDS)
