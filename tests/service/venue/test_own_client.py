"""The drills' own client of the fault port, on a real venue."""

from collections.abc import AsyncIterator
from decimal import Decimal

import aiohttp
import pytest

from tests.service.venue.harness import TOKEN, Files
from trading_ops.clients.http import Http
from trading_ops.errors import Refused
from trading_ops_lab.faults.venue_faults import VenueFaults
from trading_ops_lab.paper.venue.venue import Venue

pytestmark = pytest.mark.processes


@pytest.fixture
async def own(venue: Venue, files: Files) -> AsyncIterator[VenueFaults]:
    async with aiohttp.ClientSession() as session:
        yield VenueFaults(Http(session, f"http://{files.faults}", token=TOKEN))


async def test_it_moves_money_and_trades_by_hand(own: VenueFaults) -> None:
    """What it did is on the account, to the last digit, and in the journal."""
    await own.deposit("alpha", "USD", Decimal("0.0001"))
    order = {"type": "sell", "ordertype": "limit", "volume": "0.25", "price": "900000"}
    placed = await own.trade("alpha", pair="BTC/USD", **order)
    account = await own.account("alpha")
    assert account["balances"]["ZUSD"] == "100000.0001"
    assert account["held"]["XXBT"] == "0.2500000000"
    assert list(account["open"]) == [placed["order"]]
    events = [entry.event for entry in await own.journal(since=0.0) if entry.account == "alpha"]
    assert events[-2:] == ["money_moved", "order_added"]


async def test_it_says_what_the_venue_refuses(own: VenueFaults) -> None:
    """Neither unknown accounts nor unknown faults pass silently."""
    with pytest.raises(Refused, match="404"):
        await own.account("nobody")
    with pytest.raises(Refused, match="422"):
        await own.deposit("alpha", "USD", Decimal(-999_999))
    with pytest.raises(Refused, match="fault fire"):
        await own.inject("fire")


async def test_it_aims_a_fault(own: VenueFaults) -> None:
    """Details of a fault go through, and it can be cleared."""
    await own.clear(await own.inject("nonce", count=1, keys=["alpha"], seconds=5))
