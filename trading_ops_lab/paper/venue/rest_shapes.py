"""Converts our values to Kraken's REST format."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
from aiohttp import web

from trading_ops_lab.paper.venue.account import Fees
from trading_ops_lab.paper.venue.candles import Candle
from trading_ops_lab.paper.venue.faults import Status
from trading_ops_lab.paper.venue.ledger import LedgerEntry
from trading_ops_lab.paper.venue.orders import NewOrder, Order, Trade
from trading_ops_lab.paper.venue.pairs import ASSET_CLASS, ASSETS, LOT_DECIMALS, PAIRS, Asset, Pair

Answer = dict[str, Any]

CANCEL_TEXTS: Final = {
    "client": "User requested",
    "cancel_all": "User requested",
    "dead_man": "Cancel all orders after timeout",
    "immediate": "Out of liquidity or time in force",
    "self_trade": "Self trade prevention",
    "partial": "Insufficient liquidity",
    "amended": "User requested",
    "insufficient_funds": "Insufficient funds",
}

_encode: Final = msgspec.json.Encoder(decimal_format="string").encode


def answer(result: object) -> web.Response:
    """Return the body of a successful request."""
    body = _encode({"error": [], "result": result})
    return web.Response(body=body, content_type="application/json")


def refusal(code: str, *, status: int = 200) -> web.Response:
    """Return the body of a rejected request; Kraken sends errors with status 200."""
    return web.Response(
        body=_encode({"error": [code]}), status=status, content_type="application/json"
    )


def stamp(seconds: float, *, precise: bool = True) -> str:
    """Return epoch seconds as RFC 3339 in UTC, with microseconds if precise."""
    moment = datetime.fromtimestamp(seconds, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if precise else "%Y-%m-%dT%H:%M:%SZ")


def volume(amount: Decimal) -> str:
    """Write a volume in lots."""
    return f"{amount:.{LOT_DECIMALS}f}"


def price(pair: Pair, amount: Decimal) -> str:
    """Write a price."""
    return f"{amount:.{pair.price_decimals}f}"


def money(asset: Asset, amount: Decimal) -> str:
    """Write an amount of an asset."""
    return f"{amount:.{asset.decimals}f}"


def asset(value: Asset) -> Answer:
    """Describe an asset."""
    return {
        "aclass": ASSET_CLASS,
        "altname": value.altname,
        "decimals": value.decimals,
        "display_decimals": value.display_decimals,
        "status": "enabled",
    }


def pair(value: Pair, fees: Fees, status: Status) -> Answer:
    """Describe a pair."""
    return {
        "altname": value.altname,
        "wsname": value.wsname,
        "aclass_base": ASSET_CLASS,
        "base": value.base.id,
        "aclass_quote": "currency",
        "quote": value.quote.id,
        "lot": "unit",
        "cost_decimals": value.quote.decimals,
        "pair_decimals": value.price_decimals,
        "lot_decimals": LOT_DECIMALS,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, float(fees.taker * 100)]],
        "fees_maker": [[0, float(fees.maker * 100)]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": str(value.order_minimum),
        "costmin": str(value.cost_minimum),
        "tick_size": format(value.price(1), "f"),
        "status": status,
    }


def candle(of: Pair, value: Candle) -> list[object]:
    """Write a candle as Kraken's list of eight."""
    prices = (value.open, value.high, value.low, value.close, value.average)
    return [value.start, *(price(of, p) for p in prices), volume(value.volume), value.count]


def sentence(new: NewOrder | Order) -> str:
    """Describe an order as text, like Kraken."""
    of = PAIRS[new.pair]
    text = f"{new.side} {volume(new.volume)} {of.altname} @ "
    if new.trigger_price is None:
        return text + (new.kind if new.price is None else f"{new.kind} {price(of, new.price)}")
    kind = new.kind.removesuffix("-limit").replace("-", " ")
    text += f"{kind} {price(of, new.trigger_price)}"
    return text if new.price is None else f"{text} -> limit {price(of, new.price)}"


def order(value: Order, *, trades: list[str]) -> Answer:
    """Write an order, with the ids of these trades."""
    of = PAIRS[value.pair]
    average = value.cost / value.filled if value.filled else Decimal(0)
    triggered = value.triggered_at is not None
    written: Answer = {
        "refid": None,
        "userref": value.user_reference,
        "cl_ord_id": value.client_order_id,
        "status": value.status,
        "opentm": value.opened_at,
        "starttm": 0,
        "expiretm": 0,
        "descr": {
            "pair": of.altname,
            "type": value.side,
            "ordertype": value.kind,
            **_prices(of, value),
            "leverage": "none",
            "order": sentence(value),
            "close": "",
        },
        "vol": volume(value.volume),
        "vol_exec": volume(value.filled),
        "cost": money(of.quote, value.cost),
        "fee": money(of.quote, value.fee),
        "price": price(of, average),
        "stopprice": price(of, (value.trigger_price or Decimal(0)) if triggered else Decimal(0)),
        "limitprice": price(of, (value.price or Decimal(0)) if triggered else Decimal(0)),
        "misc": "stopped" if triggered else "",
        "oflags": ",".join(dict.fromkeys(("fciq", *value.flags))),
    }
    if value.trigger_price is not None:
        written["trigger"] = "last"
    if value.changed_at:
        written["amended"] = True
    if value.status != "open":
        written["closetm"] = value.closed_at
        written["reason"] = CANCEL_TEXTS[value.reason] if value.reason else None
    if trades:
        written["trades"] = trades
    return written


def _prices(of: Pair, value: Order) -> Answer:
    """Kraken's `price` is the trigger of an order that has one, and its limit is `price2`."""
    limit = "0" if value.price is None else price(of, value.price)
    if value.trigger_price is None:
        return {"price": limit, "price2": "0"}
    return {"price": price(of, value.trigger_price), "price2": limit}


def ledger_entry(value: LedgerEntry) -> Answer:
    """Write a ledger entry."""
    of = ASSETS[value.asset]
    return {
        "refid": value.reference,
        "time": value.time,
        "type": value.kind,
        "subtype": "",
        "aclass": ASSET_CLASS,
        "asset": value.asset,
        "amount": money(of, value.amount),
        "fee": money(of, value.fee),
        "balance": money(of, value.balance),
    }


def trade(value: Trade) -> Answer:
    """Write a trade of an account."""
    of = PAIRS[value.pair]
    return {
        "ordertxid": value.order,
        "postxid": value.order,
        "pair": of.id,
        "time": value.time,
        "type": value.side,
        "ordertype": value.kind,
        "price": price(of, value.price),
        "cost": money(of.quote, value.cost),
        "fee": money(of.quote, value.fee),
        "vol": volume(value.volume),
        "margin": money(of.quote, Decimal(0)),
        "leverage": "0",
        "misc": "",
        "trade_id": value.number,
        "maker": value.maker,
    }
