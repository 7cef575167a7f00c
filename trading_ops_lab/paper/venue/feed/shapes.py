"""Converts our values to Kraken's WebSocket messages. Numbers are exact."""

import zlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from trading_ops import __version__, clock
from trading_ops_lab.paper.venue import rest_shapes
from trading_ops_lab.paper.venue.faults import Status
from trading_ops_lab.paper.venue.feed.connection import Levels
from trading_ops_lab.paper.venue.market import PublicTrade
from trading_ops_lab.paper.venue.pairs import ASSET_CLASS, LOT_DECIMALS, Asset, Pair

Message = dict[str, Any]

HEARTBEAT: Final = '{"channel":"heartbeat"}'
CHECKED_LEVELS: Final = 10
"""Levels of each side that a book's checksum covers."""

_encoder: Final = msgspec.json.Encoder(decimal_format="number")


def text(message: Mapping[str, Any]) -> str:
    """Write a message."""
    return _encoder.encode(message).decode()


def data(channel: str, kind: str, *items: object, **fields: object) -> str:
    """Write a message of a channel; `kind` is snapshot or update."""
    return text({"channel": channel, "type": kind, "data": list(items), **fields})


def status(system: Status, connection: int) -> str:
    """Return the state of the venue."""
    return data(
        "status",
        "update",
        {
            "version": __version__,
            "system": system,
            "api_version": "v2",
            "connection_id": connection,
        },
    )


def reply(received_at: float, skew: float, **fields: object) -> str:
    """Return the answer to a request received at a time (epoch seconds)."""
    sent_at = clock.timestamp() + skew
    times = {
        "time_in": rest_shapes.stamp(received_at + skew),
        "time_out": rest_shapes.stamp(sent_at),
    }
    return text({**fields, **times})


def public_trade(symbol: str, number: int, trade: PublicTrade) -> Message:
    """Return a public trade."""
    return {
        "symbol": symbol,
        "side": trade.side,
        "price": trade.price,
        "qty": trade.volume,
        "ord_type": trade.kind,
        "trade_id": number,
        "timestamp": rest_shapes.stamp(trade.time),
    }


def levels(side: Levels) -> list[Message]:
    """Return one side of a book, or its changes; volume 0 means that a level was removed."""
    return [{"price": price, "qty": volume} for price, volume in side.items()]


def checksum(pair: Pair, bids: Levels, asks: Levels) -> int:
    """Return Kraken's CRC32 of the best levels, asks first."""
    best = [*sorted(asks.items())[:CHECKED_LEVELS]]
    best += sorted(bids.items(), reverse=True)[:CHECKED_LEVELS]
    digits = "".join(
        _digits(price, pair.price_decimals) + _digits(volume, LOT_DECIMALS)
        for price, volume in best
    )
    return zlib.crc32(digits.encode())


def _digits(amount: Decimal, decimals: int) -> str:
    return f"{amount:.{decimals}f}".replace(".", "").lstrip("0")


def asset(value: Asset) -> Message:
    """Describe an asset."""
    return {
        "id": value.altname,
        "status": "enabled",
        "precision": value.decimals,
        "precision_display": value.display_decimals,
        "borrowable": False,
        "collateral_value": 0.0,
        "margin_rate": 0.0,
        "class": ASSET_CLASS,
    }


def pair(value: Pair, state: Status) -> Message:
    """Describe a pair."""
    base, quote = value.symbol.split("/")
    return {
        "symbol": value.symbol,
        "base": base,
        "quote": quote,
        "status": state,
        "qty_precision": LOT_DECIMALS,
        "qty_increment": Decimal(1).scaleb(-LOT_DECIMALS),
        "price_precision": value.price_decimals,
        "price_increment": value.price(1),
        "tick_size": value.price(1),
        "cost_precision": value.quote.decimals,
        "cost_min": value.cost_minimum,
        "qty_min": value.order_minimum,
        "marginable": False,
        "has_index": False,
    }
