"""Pages through the history of any venue that ccxt supports; pure, except for the request itself.

Some venues return the oldest entries first and some the newest, so the first page is extended in
both directions: backward from its oldest entry and forward from its newest, until a round finds
nothing new. A history that is cut off at one millisecond, or by a venue that cannot page in a
direction, is reported as not complete.

    part = HistoryRange(start=start_ms, end=end_ms)
    while not part.finished:
        page = await part.ask(client.fetch_my_trades, symbol)
        entries += part.new_entries(page)
        part = part.after(page, page_size=50)
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from trading_ops.botkit.venue.adapter import Cursor

MAX_ROUNDS = 200
"""Rounds of one page backward and one forward, after which the history is incomplete."""

Page = list[dict[str, Any]]
"""Entries as ccxt returns them."""

Ask = Callable[..., Awaitable[Page]]
"""A unified method of ccxt, such as `fetch_my_trades`."""


class Direction(Enum):
    """Which page is requested next."""

    FIRST = 1
    BACKWARD = 2
    FORWARD = 3


@dataclass(frozen=True, kw_only=True)
class HistoryRange:
    """How much of one list was read between two moments. Times are in milliseconds."""

    start: int
    end: int
    direction: Direction = Direction.FIRST
    known: frozenset[str] = frozenset()
    """IDs of the entries that were read."""

    oldest: int = 0
    newest: int = 0
    round: int = 0
    known_before: int = 0
    """Number of entries at the start of this round."""

    complete_backward: bool = False
    finished: bool = False
    complete: bool = False
    """Once finished: whether all entries were read."""

    async def ask(self, ask: Ask, scope: str | None) -> Page:
        """Request the next page.

        Args:
            ask: a unified method of ccxt that takes a symbol or currency, since, limit and params.
            scope: the symbol or currency; None for all, where the venue allows that.
        """
        if self.direction is Direction.BACKWARD:
            return await ask(scope, self.start, None, {"until": self.oldest})
        return await ask(scope, self.start if self.direction is Direction.FIRST else self.newest)

    def new_entries(self, page: Page) -> Page:
        """Return the entries of a page that are inside the range and were not read before."""
        return [
            entry
            for entry in page
            if self.start <= entry["timestamp"] <= self.end and entry["id"] not in self.known
        ]

    def after(self, page: Page, *, page_size: int) -> "HistoryRange":
        """Return the state after a page; a page shorter than `page_size` was not cut off."""
        times = [entry["timestamp"] for entry in self.new_entries(page)]
        read = replace(
            self,
            known=self.known | {entry["id"] for entry in self.new_entries(page)},
            oldest=min([*times, self.oldest] if self.known else times, default=0),
            newest=max([*times, self.newest], default=0),
        )
        complete = len(page) < page_size
        if self.direction is Direction.BACKWARD:
            return replace(read, direction=Direction.FORWARD, complete_backward=complete)
        if self.direction is Direction.FORWARD:
            complete = complete and self.complete_backward
        grown = len(read.known) > self.known_before
        if complete or not grown or self.round >= MAX_ROUNDS:
            return replace(read, finished=True, complete=complete)
        return replace(
            read,
            direction=Direction.BACKWARD,
            round=self.round + 1,
            known_before=len(read.known),
        )


@dataclass(frozen=True, kw_only=True)
class CcxtCursor(Cursor):
    """Which list of the history is read, and how far."""

    which: int
    """Index of the list: the trades (per symbol where needed), then the ledger."""

    part: HistoryRange
