"""How the history of any venue that ccxt knows is paged; pure, but for the asking itself.

Some venues begin with the oldest entry and some with the newest, so the first page is extended both
ways: onwards from its newest, and backwards from its oldest, until a round brings nothing new. What
is cut at one millisecond, or by a venue that can do neither, is told as not complete.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from trading_ops.botkit.venue.port import Cursor

MOST_ROUNDS = 200

Page = list[dict[str, Any]]
Ask = Callable[..., Awaitable[Page]]


class Way(Enum):
    """Where the next page lies."""

    FIRST = 1
    BACK = 2
    ON = 3


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What was read of one list, from a moment to a moment; times in milliseconds."""

    begin: int
    end: int
    way: Way = Way.FIRST
    known: frozenset[str] = frozenset()
    oldest: int = 0
    newest: int = 0
    round: int = 0
    known_before: int = 0
    """Entries when this round began."""

    whole_back: bool = False
    over: bool = False
    whole: bool = False
    """Of what is over: whether it is all there is."""

    async def ask(self, ask: Ask, asked: str | None) -> Page:
        """Ask for the next page.

        Args:
            ask: one of ccxt's unified methods: symbol or currency, since, limit, parameters.
            asked: the symbol or currency, where the venue wants one.
        """
        if self.way is Way.BACK:
            return await ask(asked, self.begin, None, {"until": self.oldest})
        return await ask(asked, self.begin if self.way is Way.FIRST else self.newest)

    def kept(self, page: Page) -> Page:
        """Return the entries of a page that are asked about and new."""
        return [
            one
            for one in page
            if self.begin <= one["timestamp"] <= self.end and one["id"] not in self.known
        ]

    def after(self, page: Page, *, page_size: int) -> "Stretch":
        """Return it with this page."""
        times = [one["timestamp"] for one in self.kept(page)]
        read = replace(
            self,
            known=self.known | {one["id"] for one in self.kept(page)},
            oldest=min([*times, self.oldest] if self.known else times, default=0),
            newest=max([*times, self.newest], default=0),
        )
        whole = len(page) < page_size
        if self.way is Way.BACK:
            return replace(read, way=Way.ON, whole_back=whole)
        if self.way is Way.ON:
            whole = whole and self.whole_back
        grown = len(read.known) > self.known_before
        if whole or not grown or self.round >= MOST_ROUNDS:
            return replace(read, over=True, whole=whole)
        return replace(read, way=Way.BACK, round=self.round + 1, known_before=len(read.known))


@dataclass(frozen=True, kw_only=True)
class CcxtCursor(Cursor):
    """Which list is read, and how far."""

    which: int
    stretch: Stretch
