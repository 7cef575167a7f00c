"""Reads a venue's history a page at a time, each page a request of its own.

A long history is many requests. Whoever reads it lets others go in between: what winds the
dead-man switch, sends a stop or asks for a balance waits for one page and not for all of them.
"""

from collections.abc import Awaitable, Callable

from trading_ops.botkit.venue.port import (
    Cursor,
    History,
    HistoryPage,
    LedgerEntry,
    VenueTrade,
)

BEGINNING = Cursor()

Ask = Callable[[Cursor], Awaitable[HistoryPage]]


async def read_history(ask: Ask, *, since: float) -> History:
    """Read all pages.

    An entry that two pages tell of is one entry.

    Args:
        ask: asks for the page at a cursor.
        since: what the pages were asked for from.
    """
    trades: dict[str, VenueTrade] = {}
    ledger: dict[str, LedgerEntry] = {}
    cursor: Cursor | None = BEGINNING
    complete = True
    while cursor is not None:
        page = await ask(cursor)
        trades.update((one.trade_id, one) for one in page.trades)
        ledger.update((one.ledger_id, one) for one in page.ledger)
        complete = complete and page.complete
        cursor = page.following
    return History(
        since=since,
        trades=tuple(trades.values()),
        ledger=tuple(ledger.values()),
        complete=complete,
    )
