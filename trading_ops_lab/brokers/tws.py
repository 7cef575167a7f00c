"""A local broker with the socket protocol of TWS and IB Gateway, server version 178.

A message is a length in four bytes and texts that end with NUL; the first is the message's number.
Fields that the account does not have are empty, as TWS sends them.
"""

import asyncio
import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from zoneinfo import ZoneInfo

from trading_ops import clock
from trading_ops_lab.brokers.account import (
    BUY,
    CANCELLED,
    CASH,
    FILLED,
    LIMIT,
    MARKET,
    OPEN,
    SELL,
    STOP,
    Account,
    Fill,
    PaperOrder,
    Refusal,
)
from trading_ops_lab.brokers.faults import DISCONNECT, REFUSE, STALE_FEED, Board

VERSION = 178
ACCOUNT = "DU0000001"
NEW_YORK = ZoneInfo("America/New_York")
TICK_SECONDS = 0.25
MAX_MESSAGES = 50
"""Messages per second; TWS warns a client that sends more, and disconnects it."""

KINDS = {"LMT": LIMIT, "MKT": MARKET, "STP": STOP}
NAMES = {kind: name for name, kind in KINDS.items()}
STATUSES = {OPEN: "Submitted", FILLED: "Filled", CANCELLED: "Cancelled"}
FIRST_PERM_ID = 1_500_000_000
Fields = list[str]


class TwsServer:
    """One account behind the protocol."""

    def __init__(self, account: Account, board: Board) -> None:
        """Serve an account; a disconnect closes the sockets that are open then."""
        self._account, self._board = account, board
        self._clients: set[Client] = set()
        self._server: asyncio.Server | None = None
        self._market: asyncio.Task[None] | None = None
        self.other_positions: list[tuple[str, str, str, Decimal]] = []
        """Other positions of the login: account, symbol, type of the security, quantity."""

        board.on_fault = self._fault_began

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._serve, host, port)
        self._market = asyncio.create_task(self._run_market())
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close everything."""
        if self._market is not None:
            self._market.cancel()
            await asyncio.wait({self._market})
        for client in list(self._clients):
            client.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def say(self, code: int, text: str) -> None:
        """Send a system message, such as 1100 when TWS loses its connection to IB."""
        for client in self._clients:
            client.error(-1, code, text)

    def hold(self) -> None:
        """Delay what is sent on the open connections until `release`."""
        for client in self._clients:
            client.held = []

    def release(self) -> None:
        """Send what was delayed."""
        for client in self._clients:
            client.release()

    def _fault_began(self, kind: str) -> None:
        for client in list(self._clients):
            if kind == DISCONNECT:
                client.close()
            if kind == STALE_FEED:
                client.silent = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(self._account, self._board, writer, self._tell_all, self.other_positions)
        try:
            if self._board.has(REFUSE) or await reader.readexactly(4) != b"API\0":
                return
            await _read(reader)
            client.send(VERSION, f"{_time(clock.timestamp())}")
            while True:
                fields = await _read(reader)
                if fields[0] == "71" and any(
                    client.number == fields[2] for client in self._clients
                ):
                    client.error(-1, 326, "Unable to connect as the client id is already in use")
                    return
                if fields[0] == "71":
                    self._clients.add(client)
                client.handle(fields)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._clients.discard(client)
            client.close()

    def _tell_all(self, tell: Callable[["Client"], None]) -> None:
        for client in self._clients:
            tell(client)

    async def _run_market(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            before = set(self._account.open_orders_by_id())
            self._account.move_prices()
            for order_id in before - set(self._account.open_orders_by_id()):
                order = self._account.orders[order_id]
                self._tell_all(partial(Client.report, order=order))
            for client in self._clients:
                client.send_quotes()


class Client:
    """One connection."""

    def __init__(
        self,
        account: Account,
        board: Board,
        writer: asyncio.StreamWriter,
        tell_all: Callable[[Callable[["Client"], None]], None],
        other_positions: Sequence[tuple[str, str, str, Decimal]],
    ) -> None:
        """Start before its first message.

        Args:
            account: of the broker.
            board: whose journal is written.
            writer: to the socket.
            tell_all: calls a function with every client.
            other_positions: of the login, beside the account's shares.
        """
        self.number = ""
        self.held: list[bytes] | None = None
        """What is delayed; None if nothing is."""

        self.silent = False
        """A stale feed stays connected, but its subscriptions send nothing."""

        self._account, self._board, self._writer = account, board, writer
        self._tell_all, self._other_positions = tell_all, other_positions
        self._subscribed: dict[str, str] = {}
        self._second, self._messages = 0, 0
        self._answers: dict[str, Callable[[Fields], None]] = {
            "71": self._start,
            "1": self._subscribe,
            "2": lambda fields: void(self._subscribed.pop(fields[2], None)),
            "3": self._place,
            "4": self._cancel,
            "5": self._open_orders,
            "7": self._executions,
            "9": self._contract,
            "16": self._open_orders,
            "20": self._bars,
            "49": lambda _: self.send(49, 1, int(clock.timestamp())),
            "58": self._cancel_all,
            "61": self._positions,
            "62": self._summary,
            "63": lambda _: None,
            "99": self._completed_orders,
        }

    def send(self, *fields: object) -> None:
        """Send one message."""
        text = "".join(f"{field}\0" for field in fields).encode()
        message = struct.pack(">I", len(text)) + text
        if self.held is not None:
            self.held.append(message)
        elif not self._writer.is_closing():
            self._writer.write(message)

    def release(self) -> None:
        """Send what was delayed."""
        held, self.held = self.held or [], None
        self._writer.writelines(held)

    def error(self, number: int | str, code: int, text: str) -> None:
        """Send an error; number -1 concerns no request."""
        self.send(4, 2, number, code, text, "")

    def close(self) -> None:
        """Close the socket."""
        self._writer.close()

    def handle(self, fields: Fields) -> None:
        """Answer a message."""
        second = int(clock.monotonic())
        self._messages = self._messages + 1 if second == self._second else 1
        self._second = second
        if self._messages > MAX_MESSAGES:
            self.error(-1, 100, "Max rate of messages per second has been exceeded")
            self._board.note("rate_exceeded")
            self.close()
            return
        answer = self._answers.get(fields[0])
        if answer is not None:
            answer(fields)

    def report(self, order: PaperOrder) -> None:
        """Send an order's state; its executions go to the client that placed it."""
        self._open_order(order)
        if str(order.owner) == self.number:
            for fill in order.fills:
                self._execution(-1, order, fill)

    def send_quotes(self) -> None:
        """Send bid and ask of what it subscribed to."""
        for number, symbol in self._subscribed.items():
            if not self.silent:
                for kind, price in zip((1, 2), self._account.quote(symbol), strict=True):
                    self.send(1, 6, number, kind, price, 100, 0)

    def _start(self, fields: Fields) -> None:
        self.number = fields[2]
        self.send(15, 1, ACCOUNT)
        self.send(9, 1, len(self._account.orders) + 1)
        self._board.note("session_joined")

    def _subscribe(self, fields: Fields) -> None:
        number, symbol = fields[2], fields[4]
        if symbol not in self._account.prices:
            self.error(number, 200, "No security definition has been found for the request")
            return
        self._subscribed[number] = symbol
        self.silent = False
        self._board.note("feed_subscribed")

    def _place(self, fields: Fields) -> None:
        number, symbol = fields[1], fields[3]
        action, quantity, kind, limit, stop = fields[16:21]
        order = PaperOrder(
            number=FIRST_PERM_ID + len(self._account.orders),
            client_id=fields[26],
            symbol=symbol,
            side=BUY if action == "BUY" else SELL,
            kind=KINDS[kind],
            quantity=Decimal(quantity),
            price=Decimal(stop if kind == "STP" else limit or 0),
            owner=int(self.number),
            local_id=int(number),
        )
        try:
            self._account.submit(order)
        except Refusal as error:
            self.error(number, 201, f"Order rejected - reason:{error}")
            return
        self._board.note("order_accepted")
        self.report(order)

    def _cancel(self, fields: Fields) -> None:
        for order in list(self._account.open_orders()):
            if (str(order.owner), str(order.local_id)) == (self.number, fields[2]):
                self._account.cancel(order.order_id)
                self.tell_status(order)
                self.error(fields[2], 202, "Order Canceled - reason:")
                return
        self.error(fields[2], 10147, f"OrderId {fields[2]} that needs to be cancelled is not found")

    def _cancel_all(self, _: Fields) -> None:
        for order in list(self._account.open_orders()):
            self._account.cancel(order.order_id)
            self._tell_all(partial(Client.tell_owner, order=order))

    def _open_orders(self, _: Fields) -> None:
        for order in self._account.open_orders():
            self._open_order(order)
        self.send(53, 1)

    def _open_order(self, order: PaperOrder) -> None:
        limit, stop = _prices(order)
        state = [STATUSES[order.status], *blanks(9), *blanks(5)]
        self.send(
            *(5, order.local_id, *_contract(order.symbol, order.security)),
            *("BUY" if order.side == BUY else "SELL", order.quantity, NAMES[order.kind]),
            *(limit, stop, "DAY", "", order.holder or ACCOUNT, "", 0),
            *(order.client_id, order.owner, order.number),
            *(0, 0, 0, *blanks(5)),
            *blanks(29),
            *(*blanks(7), 0, 0, 0, *blanks(3), ""),
            *(0, "", "", 0, 0, "", 0, 0, *state, 0, 0, 0),
            *blanks(16),
            *blanks(3),
            *blanks(5),
        )
        self.tell_status(order)

    def tell_status(self, order: PaperOrder) -> None:
        """Send an order's status alone."""
        self.send(
            *(3, order.local_id, STATUSES[order.status], order.filled),
            *(order.quantity - order.filled, order.average, order.number, 0),
            *(order.fills[-1].price if order.fills else 0, order.owner, "", 0),
        )

    def tell_owner(self, order: PaperOrder) -> None:
        """Send an order's status if this client placed it: others are not notified."""
        if str(order.owner) == self.number:
            self.tell_status(order)

    def _completed_orders(self, _: Fields) -> None:
        for order in self._account.orders.values():
            if order.status != OPEN:
                limit, stop = _prices(order)
                self.send(
                    *(101, *_contract(order.symbol, order.security)),
                    *("BUY" if order.side == BUY else "SELL", order.quantity, NAMES[order.kind]),
                    *(limit, stop, "DAY", "", order.holder or ACCOUNT, "", 0),
                    *(order.client_id, order.number),
                    *(0, 0, 0, *blanks(4)),
                    *blanks(23),
                    *(*blanks(5), 0, 0, 0, *blanks(3), ""),
                    *("", "", 0, 0, "", 0, STATUSES[order.status], 0, 0, 0),
                    *(*blanks(6), order.filled, *blanks(6), _time(order.at), ""),
                    *blanks(5),
                )
        self.send(102)

    def _executions(self, fields: Fields) -> None:
        for order, fill in self._account.fills():
            self._execution(fields[2], order, fill)
        self.send(55, 1, fields[2])

    def _execution(self, number: int | str, order: PaperOrder, fill: Fill) -> None:
        self.send(
            *(11, number, order.local_id, *_contract(order.symbol, order.security), fill.fill_id),
            *(_time(fill.at), order.holder or ACCOUNT, "ISLAND"),
            "BOT" if order.side == BUY else "SLD",
            *(fill.quantity, fill.price, order.number, order.owner, 0, fill.cumulative),
            *(fill.price, order.client_id, "", "", "", 2, 0),
        )
        self.send(59, 1, fill.fill_id, fill.fee, CASH, "", "", "")

    def _contract(self, fields: Fields) -> None:
        number, symbol = fields[2], fields[4]
        if symbol not in self._account.prices:
            self.error(number, 200, "No security definition has been found for the request")
            return
        self.send(
            *(10, number, symbol, "STK", "", 0, "", "SMART", CASH, symbol, "NMS", "NMS"),
            *(_con_id(symbol), "0.01", "", "LMT,MKT,STP", "SMART", 1, 0, symbol, "NASDAQ"),
            *(*blanks(4), "US/Eastern", *blanks(2), *blanks(2), 0),
            *(1, "", "", "26", "", "COMMON", 1, 1, 100),
        )
        self.send(52, 1, number)

    def _positions(self, _: Fields) -> None:
        for symbol, quantity in self._account.shares.items():
            self.send(61, 3, ACCOUNT, *_contract(symbol), quantity, self._account.prices[symbol])
        for holder, symbol, security, quantity in self._other_positions:
            self.send(61, 3, holder, *_contract(symbol, security), quantity, 1)
        self.send(62, 1)

    def _summary(self, fields: Fields) -> None:
        for currency in (CASH, "BASE"):
            tag = "TotalCashBalance"
            self.send(63, 1, fields[2], ACCOUNT, tag, self._account.cash, currency)
        self.send(64, 1, fields[2])

    def _bars(self, fields: Fields) -> None:
        number, symbol, size, duration = fields[1], fields[3], fields[16], fields[17]
        count = int(duration.split()[0])
        price, end = self._account.prices[symbol], int(clock.timestamp())
        times: list[object] = list(range((end - count) // 60 * 60 + 60, end, 60))
        if size == "1 day":  # dates, whatever format was requested
            today = datetime.fromtimestamp(end, NEW_YORK)
            days = (today - timedelta(days=age) for age in reversed(range(count)))
            times = [f"{day:%Y%m%d}" for day in days]
        bars: Iterable[object] = (
            value for at in times for value in (at, *[price] * 4, 100, price, 1)
        )
        self.send(17, number, "", "", len(times), *bars)


async def _read(reader: asyncio.StreamReader) -> Fields:
    (length,) = struct.unpack(">I", await reader.readexactly(4))
    return (await reader.readexactly(length)).decode().split("\0")


def _prices(order: PaperOrder) -> tuple[object, object]:
    """Return limit price and stop price."""
    return (
        order.price if order.kind == LIMIT else "",
        order.price if order.kind == STOP else "",
    )


def _contract(symbol: str, security: str = "STK") -> tuple[object, ...]:
    return (_con_id(symbol), symbol, security, "", 0, "", "", "SMART", CASH, symbol, "NMS")


def _con_id(symbol: str) -> int:
    return int.from_bytes(symbol.encode()[:3], "big")


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y%m%d %H:%M:%S} UTC"


def blanks(number: int) -> list[str]:
    """Return empty fields."""
    return [""] * number


def void(_: object) -> None:
    """Return nothing."""
