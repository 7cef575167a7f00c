"""Paging of any venue, against venues that page in each way."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_ops.botkit.venue.ccxt_history import HistoryRange, Page

SIZE = 5
END = 1_000


class Listing:
    """A venue's list: entries at milliseconds, returned `SIZE` at a time from one of its ends."""

    def __init__(self, times: list[int], *, newest_first: bool, until: bool = True) -> None:
        self.entries: Page = [{"id": str(at), "timestamp": time} for at, time in enumerate(times)]
        self.newest_first = newest_first
        self.until = until

    async def ask(
        self, _symbol: str | None, since: int, _limit: None = None, params: Any = None
    ) -> Page:
        until = (params or {}).get("until", END) if self.until else END
        there = [entry for entry in self.entries if since <= entry["timestamp"] <= until]
        there.sort(key=lambda entry: entry["timestamp"], reverse=self.newest_first)
        return there[:SIZE]


async def read(listing: Listing, begin: int) -> tuple[set[str], bool, int]:
    """Return the ids that were read, whether they are said to be all, and how many pages."""
    part, found, pages = HistoryRange(start=begin, end=END), set[str](), 0
    while not part.finished:
        page = await part.ask(listing.ask, None)
        found |= {entry["id"] for entry in part.new_entries(page)}
        part = part.after(page, page_size=SIZE)
        pages += 1
        assert pages < 500, "it does not end"
    return found, part.complete, pages


@given(
    times=st.lists(st.integers(0, END), max_size=60),
    begin=st.integers(0, END),
    newest_first=st.booleans(),
    until=st.booleans(),
)
def test_a_complete_answer_is_complete(
    times: list[int], begin: int, newest_first: bool, until: bool
) -> None:
    """Whichever end a venue starts with, and whether it can go back or not."""
    listing = Listing(times, newest_first=newest_first, until=until)
    there = {entry["id"] for entry in listing.entries if entry["timestamp"] >= begin}
    found, complete, _ = asyncio.run(read(listing, begin))
    assert found <= there
    assert found == there or not complete


@pytest.mark.parametrize("newest_first", [False, True])
async def test_all_is_read_where_it_can_be(newest_first: bool) -> None:
    """A hundred entries at a hundred moments, five at a time."""
    listing = Listing(list(range(0, END, 10)), newest_first=newest_first)
    found, complete, pages = await read(listing, 0)
    assert (len(found), complete) == (100, True)
    assert pages <= 2 * 100 / (SIZE - 1) + 3


async def test_what_is_cut_at_one_moment_is_not_called_whole() -> None:
    """More entries at one millisecond than a page has."""
    _, complete, pages = await read(Listing([7] * (SIZE + 1), newest_first=False), 0)
    assert not complete
    assert pages < 6
