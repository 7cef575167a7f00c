"""Reads a venue's trade and ledger history page by page.

Each page is a separate request, so that other requests (renewing the dead man's switch, sending a
stop, reading balances) wait for one page and not for the whole history.
"""

from collections.abc import Awaitable, Callable

from trading_ops.botkit.venue.adapter import (
    AccountHistory,
    AccountHistoryPage,
    Cursor,
    LedgerEntry,
    VenueTrade,
)

START = Cursor()
"""The cursor of the first page."""

Ask = Callable[[Cursor], Awaitable[AccountHistoryPage]]
"""Requests the page at a cursor."""


async def read_history(ask: Ask, *, since: float) -> AccountHistory:
    """Read all pages; an entry that is on two pages counts once.

    Example:
        history = await read_history(lambda cursor: venue.history(since, cursor), since=since)

    Args:
        ask: requests the page at a cursor; its errors are passed on.
        since: the start of the history, in seconds since the epoch, as in the requests.
    """
    trades: dict[str, VenueTrade] = {}
    ledger: dict[str, LedgerEntry] = {}
    cursor: Cursor | None = START
    complete = True
    while cursor is not None:
        page = await ask(cursor)
        trades.update((trade.trade_id, trade) for trade in page.trades)
        ledger.update((entry.ledger_id, entry) for entry in page.ledger)
        complete = complete and page.complete
        cursor = page.next_cursor
    return AccountHistory(
        since=since,
        trades=tuple(trades.values()),
        ledger=tuple(ledger.values()),
        complete=complete,
    )
