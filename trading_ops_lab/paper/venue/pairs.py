"""The traded assets and pairs, with all their names at Kraken."""

from collections.abc import Iterable
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Final

import msgspec

from trading_ops_lab.paper.venue.errors import VenueRefusal

LOT_DECIMALS: Final = 8
"""Decimals of a volume, for every pair."""


class Asset(msgspec.Struct, frozen=True):
    """A currency; amounts have at most `decimals` decimals."""

    id: str
    altname: str
    decimals: int
    display_decimals: int
    start: float
    """Mean value of the seeded walk in US dollars."""

    def round(self, amount: Decimal) -> Decimal:
        """Round an amount to the asset's decimals."""
        return amount.quantize(Decimal(1).scaleb(-self.decimals))

    def round_up(self, amount: Decimal) -> Decimal:
        """Round an amount up: fees and holds are never too small."""
        return amount.quantize(Decimal(1).scaleb(-self.decimals), rounding=ROUND_UP)


class Pair(msgspec.Struct, frozen=True):
    """A market; prices are in units of `quote` for one unit of `base`."""

    id: str
    altname: str
    wsname: str
    symbol: str
    base: Asset
    quote: Asset
    price_decimals: int
    order_minimum: Decimal
    cost_minimum: Decimal

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that clients may use for the pair."""
        return (self.id, self.altname, self.wsname, self.symbol)

    def price(self, steps: int) -> Decimal:
        """Return the price of `steps` ticks."""
        return Decimal(steps).scaleb(-self.price_decimals)


def lots(amount: Decimal) -> Decimal:
    """Round a volume down to the lot size."""
    return amount.quantize(Decimal(1).scaleb(-LOT_DECIMALS), rounding=ROUND_DOWN)


USD: Final = Asset("ZUSD", "USD", decimals=4, display_decimals=2, start=1.0)
BITCOIN: Final = Asset("XXBT", "XBT", decimals=10, display_decimals=5, start=60_000.0)
ETHER: Final = Asset("XETH", "ETH", decimals=10, display_decimals=5, start=3_000.0)
SOLANA: Final = Asset("SOL", "SOL", decimals=10, display_decimals=5, start=150.0)

ASSET_CLASS: Final = "currency"
"""Kraken's class of all assets here; its tokenized shares are not simulated."""

ASSETS: Final = {asset.id: asset for asset in (USD, BITCOIN, ETHER, SOLANA)}


def _pair(names: str, base: Asset, quote: Asset, decimals: int, minimums: tuple[str, str]) -> Pair:
    pair_id, altname, wsname, symbol = names.split()
    return Pair(
        pair_id, altname, wsname, symbol, base, quote, decimals, *(Decimal(m) for m in minimums)
    )


PAIRS: Final = {
    pair.id: pair
    for pair in (
        _pair("XXBTZUSD XBTUSD XBT/USD BTC/USD", BITCOIN, USD, 1, ("0.00005", "0.5")),
        _pair("XETHZUSD ETHUSD ETH/USD ETH/USD", ETHER, USD, 2, ("0.001", "0.5")),
        _pair("SOLUSD SOLUSD SOL/USD SOL/USD", SOLANA, USD, 2, ("0.02", "0.5")),
        _pair("XETHXXBT ETHXBT ETH/XBT ETH/BTC", ETHER, BITCOIN, 5, ("0.001", "0.00002")),
    )
}

_BY_NAME: Final = {name: pair for pair in PAIRS.values() for name in pair.names}
SYMBOLS: Final = {pair.symbol: pair for pair in PAIRS.values()}


def find_asset(name: str) -> Asset:
    """Return the asset with this id or altname.

    Raises:
        VenueRefusal: unknown.
    """
    found = next((asset for asset in ASSETS.values() if name in (asset.id, asset.altname)), None)
    if found is None:
        raise VenueRefusal("EQuery:Unknown asset")
    return found


def find_pair(name: str) -> Pair:
    """Return the pair with this id, altname, wsname or symbol.

    Raises:
        VenueRefusal: unknown.
    """
    if (pair := _BY_NAME.get(name)) is None:
        raise VenueRefusal("EQuery:Unknown asset pair")
    return pair


def find_pairs(names: str, asset_class: str = "") -> Iterable[Pair]:
    """Return the pairs of a comma-separated list; empty: all of the class."""
    if not names:
        return PAIRS.values() if asset_class in {"", ASSET_CLASS} else []
    return [find_pair(name.strip()) for name in names.split(",")]
