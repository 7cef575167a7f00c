"""Requests of the feed's clients: ping, subscribe, unsubscribe, and orders."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from trading_ops import clock, logs
from trading_ops_lab.paper.venue.engine import Engine
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.faults import FaultBoard
from trading_ops_lab.paper.venue.feed import shapes
from trading_ops_lab.paper.venue.feed.account_data import AccountData
from trading_ops_lab.paper.venue.feed.connection import Connection, PrivateChannel
from trading_ops_lab.paper.venue.feed.market_data import DEPTHS, MarketData
from trading_ops_lab.paper.venue.feed.order_entry import REST_NAMES, OrderEntry, OrderParams
from trading_ops_lab.paper.venue.journal import Journal
from trading_ops_lab.paper.venue.pairs import SYMBOLS
from trading_ops_lab.paper.venue.tokens import Holder, Tokens

log = logs.get(__name__)

PUBLIC: Final = ("ticker", "book", "trade")
PRIVATE: Final = ("executions", "balances")


class Params(msgspec.Struct):
    """Parameters of a subscription."""

    channel: str = ""
    symbol: list[str] = []
    snapshot: bool = True
    event_trigger: str = "trades"
    depth: int = 10
    token: str = ""
    snap_orders: bool = True
    snap_trades: bool = False
    order_status: bool = True


class Request(msgspec.Struct):
    """A client's message."""

    method: str
    params: msgspec.Raw = msgspec.Raw(b"{}")
    req_id: int | None = None


class Requests:
    """Answers the messages of all clients."""

    def __init__(
        self,
        *,
        engine: Engine,
        board: FaultBoard,
        journal: Journal,
        tokens: Tokens,
        market: MarketData,
        account: AccountData,
        orders: OrderEntry,
        emit: Callable[[Connection, str, str], None],
        fail: Callable[[], None],
    ) -> None:
        """Share the feed's parts; `emit` sends what faults may suppress."""
        self._engine, self._board, self._journal = engine, board, journal
        self._tokens, self._market, self._account = tokens, market, account
        self._orders, self._emit, self._fail = orders, emit, fail

    def receive(self, connection: Connection, text: str) -> None:
        """Answer one message."""
        now = clock.timestamp()
        echo: dict[str, Any] = {}
        try:
            request = msgspec.json.decode(text, type=Request)
            echo["method"] = request.method
            if request.req_id is not None:
                echo["req_id"] = request.req_id
            if request.method == "ping":
                self._reply(connection, now, **echo | {"method": "pong"})
            elif request.method in REST_NAMES:
                params = msgspec.json.decode(request.params, type=OrderParams)
                self._order(connection, request.method, params, echo, now)
            elif request.method in ("subscribe", "unsubscribe"):
                self._subscription(connection, request, echo, now)
            else:
                self._refuse(connection, now, "Unsupported method", echo)
        except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
            self._refuse(connection, now, f"Malformed request: {error}", echo)

    def _subscription(
        self, connection: Connection, request: Request, echo: dict[str, Any], now: float
    ) -> None:
        params = msgspec.json.decode(request.params, type=Params)
        channel, leaves = params.channel, request.method == "unsubscribe"
        if channel in PUBLIC:
            for symbol in params.symbol or [""]:
                self._public(connection, params, symbol, echo, now)
        elif channel == "instrument":
            self._instrument(connection, params, echo, now)
        elif channel in PRIVATE and leaves:
            connection.private.pop(channel, None)
            self._reply(connection, now, **echo, result={"channel": channel}, success=True)
        elif channel in PRIVATE:
            try:
                self._private(connection, params, echo, now)
            except VenueRefusal as no:
                self._refuse(connection, now, no.code, echo)
        else:
            self._refuse(connection, now, "Unsupported channel", echo)

    def _public(
        self,
        connection: Connection,
        params: Params,
        symbol: str,
        echo: dict[str, Any],
        now: float,
    ) -> None:
        channel = params.channel
        if symbol not in SYMBOLS:
            text = f"Currency pair not supported {symbol}"
            self._refuse(connection, now, text, echo, symbol=symbol)
            return
        result: dict[str, object] = {"channel": channel, "symbol": symbol}
        if echo["method"] == "unsubscribe":
            self._market.unsubscribe(connection, channel, symbol)
            self._reply(connection, now, **echo, result=result, success=True)
            return
        result["snapshot"] = params.snapshot
        if channel == "ticker":
            result["event_trigger"] = params.event_trigger
            snapshot = self._market.subscribe_ticker(connection, symbol)
        elif channel == "trade":
            snapshot = self._market.subscribe_trades(connection, symbol)
        elif params.depth not in DEPTHS:
            self._refuse(connection, now, "Subscription depth not supported", echo, symbol=symbol)
            return
        else:
            result["depth"] = params.depth
            snapshot = self._market.subscribe_book(connection, symbol, params.depth)
        self._reply(connection, now, **echo, result=result, success=True)
        self.tell("feed_subscribed", connection, channel=channel, symbol=symbol)
        if params.snapshot:
            self._emit(connection, channel, snapshot)

    def _instrument(
        self, connection: Connection, params: Params, echo: dict[str, Any], now: float
    ) -> None:
        result = {"channel": "instrument", "snapshot": params.snapshot}
        self._reply(connection, now, **echo, result=result, success=True)
        if echo["method"] == "unsubscribe":
            self._market.unsubscribe(connection, "instrument", "")
            return
        snapshot = self._market.subscribe_instruments(connection)
        self.tell("feed_subscribed", connection, channel="instrument")
        if params.snapshot:
            self._emit(connection, "instrument", snapshot)

    def _private(
        self, connection: Connection, params: Params, echo: dict[str, Any], now: float
    ) -> None:
        channel = params.channel
        holder = self._holder(connection, params.token, now)
        if channel in connection.private:
            raise VenueRefusal(f"Already subscribed to {channel}")
        fault = self._board.find("balance", connection.caller())
        if channel == "balances" and fault is not None and fault.where != "rest":
            raise VenueRefusal(fault.error)
        result: dict[str, object] = {"channel": channel, "snapshot": params.snapshot}
        subscription = PrivateChannel(holder, all_states=params.order_status)
        if channel == "executions":
            result |= {"snap_orders": params.snap_orders, "snap_trades": params.snap_trades}
            wants = {"orders": params.snap_orders, "trades": params.snap_trades}
            items = self._account.executions(holder.account, **wants, now=now)
        else:
            items = self._account.balances(holder.account)
        self._reply(connection, now, **echo, result=result, success=True)
        connection.private[channel] = subscription
        self.tell("feed_subscribed", connection, channel=channel, account=holder.account)
        if params.snapshot:
            number = subscription.next()
            self._emit(
                connection, channel, shapes.data(channel, "snapshot", *items, sequence=number)
            )

    def _order(
        self,
        connection: Connection,
        method: str,
        params: OrderParams,
        echo: dict[str, Any],
        now: float,
    ) -> None:
        answers: list[dict[str, Any]] = []
        try:
            holder = self._holder(connection, params.token, now)
            self._engine.status.require_service()
            caller = connection.caller(REST_NAMES[method])
            if (fault := self._board.strike("api_error", caller)) is not None:
                raise VenueRefusal(fault.error)  # noqa: TRY301  # it is answered like all others
            with self._journal.by(key=holder.key, connection=connection.number):
                for result in self._orders.perform(method, caller, params):
                    answers.append({"result": result, "success": True})  # noqa: PERF401
        except VenueRefusal as no:
            answers.append({"error": no.code, "success": False})
        except Exception:
            # Orders in memory may now differ from the file, which is authoritative: restart from
            # it.
            log.exception("feed_request_failed", method=method)
            self._fail()
            return
        caller = connection.caller(REST_NAMES[method])
        lost = self._board.strike("lost_answer", caller)
        if lost is not None:
            self._journal.record("answer_lost", method=caller.method, key=caller.key)
        self._journal.commit()
        if lost is not None and lost.instead is None:
            connection.drop()
            return
        if lost is not None:
            answers = [{"error": lost.instead, "success": False}]
        for answer in answers:
            self._reply(connection, now, **echo, **answer)

    def _holder(self, connection: Connection, token: str, now: float) -> Holder:
        holder = self._tokens.holder(token, now, in_use=token in connection.tokens)
        connection.tokens.add(token)
        connection.holder = holder
        return holder

    def tell(self, event: str, connection: Connection, **fields: object) -> None:
        """Journal a client's action."""
        self._journal.record(event, connection=connection.number, **fields)
        self._journal.commit()

    def _reply(self, connection: Connection, received_at: float, **fields: object) -> None:
        connection.send(shapes.reply(received_at, self._engine.clearing.skew, **fields))

    def _refuse(
        self,
        connection: Connection,
        received_at: float,
        error: str,
        echo: dict[str, Any],
        **fields: object,
    ) -> None:
        self._reply(connection, received_at, **echo, error=error, success=False, **fields)
