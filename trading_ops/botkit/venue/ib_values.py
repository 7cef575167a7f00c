"""Converts the values of `ib_async` to those of `venue.adapter`."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

from ib_async import Contract, Fill, Trade
from ib_async.util import UNSET_DOUBLE

from trading_ops.agent import Side
from trading_ops.botkit.orders.order import OrderStatus, OrderType, VenueOrder
from trading_ops.botkit.venue.adapter import VenueTrade

TYPES = {OrderType.LIMIT: "LMT", OrderType.MARKET: "MKT", OrderType.STOP_LOSS: "STP"}
ENDED = {
    "Filled": OrderStatus.FILLED,
    "Cancelled": OrderStatus.CANCELLED,
    "ApiCancelled": OrderStatus.CANCELLED,
    "Inactive": OrderStatus.REJECTED,
}
NEW_YORK = ZoneInfo("America/New_York")


def is_share_of(account: str, holder: str, contract: Contract) -> bool:
    """Return whether a row of the login is of this account, and a share."""
    return holder == account and contract.secType == "STK"


def opened_at(opened: datetime | date) -> float:
    """Return the time of a bar; a daily one has only the date of its trading day."""
    if not isinstance(opened, datetime):
        opened = datetime.combine(opened, time(), NEW_YORK)
    return opened.timestamp()


def order_of(trade: Trade) -> VenueOrder:
    """Convert an order, without costs and fees."""
    order, contract = trade.order, trade.contract
    kind = {text: name for name, text in TYPES.items()}.get(order.orderType, OrderType.LIMIT)
    limited = kind is OrderType.LIMIT and order.lmtPrice != UNSET_DOUBLE
    ended = order.filledQuantity not in {0, UNSET_DOUBLE}
    filled = order.filledQuantity if ended else trade.orderStatus.filled
    return VenueOrder(
        venue_id=str(order.permId),
        client_id=order.orderRef or None,
        symbol=f"{contract.symbol}/{contract.currency}",
        side=Side(order.action.lower()),
        price=decimal(order.lmtPrice) if limited else Decimal(0),
        quantity=decimal(order.totalQuantity or filled),
        status=ENDED.get(trade.orderStatus.status, OrderStatus.ACCEPTED),
        filled=decimal(filled),
        cost=Decimal(0),
        fee=Decimal(0),
        type=kind,
        stop_price=decimal(order.auxPrice) if kind is OrderType.STOP_LOSS else None,
    )


def trade_of(fill: Fill) -> VenueTrade:
    """Convert an execution."""
    execution, quantity = fill.execution, decimal(fill.execution.shares)
    return VenueTrade(
        trade_id=execution.execId,
        venue_id=str(execution.permId),
        client_id=execution.orderRef or None,
        symbol=f"{fill.contract.symbol}/{fill.contract.currency}",
        side=Side.BUY if execution.side == "BOT" else Side.SELL,
        quantity=quantity,
        cost=quantity * decimal(execution.price),
        fee=decimal(fill.commissionReport.commission),
        at=execution.time.astimezone(UTC).timestamp(),
    )


def decimal(value: object) -> Decimal:
    """Convert the library's floats, which are the nearest to IB's texts, back to these texts."""
    return Decimal(str(value))
