"""What the signals must know again after a restart: the prices in their averages."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

SIGNALS_FACT = "signals"
"""The name under which the records keep it."""

LONGEST = 500
"""Prices of a symbol that are kept; longer averages begin anew, for each write must stay small."""


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """The prices of each symbol, oldest first, and when the last of them was seen."""

    at: float
    """Seconds since the epoch; of the last pass that added a price, 0 for none."""

    prices: dict[str, list[Decimal]]


def remember(at: float, prices: Mapping[str, Sequence[Decimal]]) -> Remembered:
    """Return what is worth keeping."""
    kept = {symbol: list(seen) for symbol, seen in prices.items() if 0 < len(seen) <= LONGEST}
    return Remembered(at=at, prices=kept)


def recalled(
    kept: Remembered | None, now: float, *, within_seconds: float
) -> dict[str, list[Decimal]]:
    """Return the prices that are young enough to go on from; none when they are not.

    Averages count passes, not seconds: after a longer gap they would join prices that do not
    belong together.
    """
    if kept is None or not 0 <= now - kept.at <= within_seconds:
        return {}
    return kept.prices
