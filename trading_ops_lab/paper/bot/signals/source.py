"""What a source of signals is: asked about one market, it answers what to hold there."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from trading_ops.errors import TradingOpsError
from trading_ops_lab.paper.bot.trading.strategy import Target


@dataclass(frozen=True, kw_only=True)
class Market:
    """What a source is told."""

    symbol: str
    prices: tuple[Decimal, ...]
    """Middle prices, one a pass, oldest first; a source needs no memory, so a new life has all."""

    at: float
    """Time of the last one, seconds since the epoch."""


@dataclass(frozen=True, kw_only=True)
class Signal:
    """What a source answers."""

    id: str
    """Of this answer; orders that follow from it are told with it."""

    source: str
    symbol: str
    target: Target
    at: float
    """When it was made, seconds since the epoch."""

    confidence: float | None = None
    """From 0 to 1; None: the source tells none."""

    horizon_seconds: float | None = None
    """For which it is meant; None: until the next one."""


class SourceFailed(TradingOpsError):
    """A source gave no signal; it may do so when it is asked again."""


class SourceGone(SourceFailed):
    """It will not answer before it is started anew."""


class InvalidSignal(SourceFailed):
    """It answered, and nobody may act on that."""


class Source(Protocol):
    """A model, or whatever takes its place; asked by one task, one question at a time."""

    @property
    def name(self) -> str:
        """What metrics, events and logs call it."""
        ...

    async def start(self) -> None:
        """Make it answer; again after `close`.

        Raises:
            SourceFailed: it cannot be.
        """
        ...

    async def signal(self, market: Market) -> Signal:
        """Return its word on one market. May be cancelled at any moment, and asked again then.

        Raises:
            InvalidSignal: what it said cannot be read.
            SourceGone: it will not answer any more.
            SourceFailed: it did not answer this one.
        """
        ...

    async def close(self) -> None:
        """End it, whatever it is doing. Never raises."""
        ...
