"""The prices that the signals need after a restart, stored with the run record."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

SIGNALS_FACT = "signals"
"""The name of the fact in the records."""

MAX_PRICES = 500
"""Maximum prices stored of a symbol, to keep each write small; longer averages start empty."""


class SignalPrices(msgspec.Struct, frozen=True, kw_only=True):
    """The prices of each symbol, oldest first."""

    at: float
    """When the last price was added, in seconds since the epoch; 0 if there is none."""

    prices: dict[str, list[Decimal]]


def prices_to_store(at: float, prices: Mapping[str, Sequence[Decimal]]) -> SignalPrices:
    """Return the prices that are few enough to be stored."""
    kept = {symbol: list(seen) for symbol, seen in prices.items() if 0 < len(seen) <= MAX_PRICES}
    return SignalPrices(at=at, prices=kept)


def recent_prices(
    stored: SignalPrices | None, now: float, *, within_seconds: float
) -> dict[str, list[Decimal]]:
    """Return the stored prices if they are recent enough to continue with.

    Averages count passes, not seconds: across a longer gap they would mix prices of different
    times.
    """
    if stored is None or not 0 <= now - stored.at <= within_seconds:
        return {}
    return stored.prices
