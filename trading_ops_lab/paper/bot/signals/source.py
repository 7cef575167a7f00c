"""The interface of a source of signals: a market in, a target position out."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from trading_ops.errors import TradingOpsError
from trading_ops_lab.paper.bot.trading.strategy import Target


@dataclass(frozen=True, kw_only=True)
class Market:
    """The input of a source."""

    symbol: str
    prices: tuple[Decimal, ...]
    """Mid prices, one per pass, oldest first; a source needs no state of its own."""

    at: float
    """Time of the last one, seconds since the epoch."""


@dataclass(frozen=True, kw_only=True)
class Signal:
    """The answer of a source."""

    id: str
    """Of this answer; the events of the orders that follow name it."""

    source: str
    symbol: str
    target: Target
    at: float
    """When it was made, seconds since the epoch."""

    confidence: float | None = None
    """From 0 to 1; None: the source gives none."""

    horizon_seconds: float | None = None
    """How long it is valid; None: until the next one."""


class SourceFailed(TradingOpsError):
    """A source returned no signal; the next request may succeed."""


class SourceGone(SourceFailed):
    """The source will not answer before a restart."""


class InvalidSignal(SourceFailed):
    """The source answered, and the answer must not be used."""


class Source(Protocol):
    """A model or another source; one task queries it, one request at a time."""

    @property
    def name(self) -> str:
        """Its name in metrics, events and logs."""
        ...

    async def start(self) -> None:
        """Start it; also after `close`.

        Raises:
            SourceFailed: it cannot be started.
        """
        ...

    async def signal(self, market: Market) -> Signal:
        """Return the signal for one market. May be cancelled at any time, and called again then.

        Raises:
            InvalidSignal: the answer is unreadable or invalid.
            SourceGone: it will not answer before a restart.
            SourceFailed: it did not answer this question.
        """
        ...

    async def close(self) -> None:
        """Stop it, whatever it is doing. Never raises."""
        ...
