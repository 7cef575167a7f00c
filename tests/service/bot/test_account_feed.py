"""The private feed on the real venue: what it tells counts once, whatever the feed does.

No one polls in these tests, so that what the book knows came over the feed, or from what it asked
by REST because the feed could not be sure.
"""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.service.bot.account_harness import Desk, desk_at
from tests.service.bot.conftest import Venue
from tests.service.botkit.conftest import SYMBOL, sample, stays, until
from trading_ops.agent import Side
from trading_ops.botkit.orders.order import OrderStatus, OrderType
from trading_ops.botkit.venue.errors import VenueDown

pytestmark = pytest.mark.long


@pytest.fixture
async def desk(venue: Venue, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_at(venue, tmp_path) as desk:
        yield desk


async def test_fills_are_heard_without_asking(desk: Desk, venue: Venue) -> None:
    """A market order in several fills is known to the last digit, and REST was not asked once."""
    for side, quantity in ((Side.BUY, "0.4"), (Side.SELL, "0.1"), (Side.BUY, "0.2")):
        await desk.place(side, quantity)
    await desk.settled()
    await desk.exact()
    fills = venue.journal("order_filled")
    assert len(fills) > 3, "each order was filled at once: nothing was added up"
    assert desk.asked == 0
    assert desk.compared == 0
    assert desk.book.position(SYMBOL).quantity == Decimal("0.5")
    assert sample(desk.metrics, "trading_orders_total", outcome="filled") == 3


async def test_a_cancel_is_heard(desk: Desk) -> None:
    """An order that someone cancels ends, with the venue's reason."""
    order = await desk.place(kind=OrderType.LIMIT, price="100")
    await until(lambda: desk.book.open_orders()[0].status is OrderStatus.ACCEPTED)
    await desk.broker.call(
        "CancelOrder", lambda v: v.cancel(desk.book.open_orders()[0].venue_id or "")
    )
    await desk.settled()
    ended = await desk.book.find(order.client_id)
    assert ended is not None
    assert (ended.status, ended.reason) == (OrderStatus.CANCELLED, "User requested")
    assert desk.asked == 0


async def test_a_fill_that_is_reported_twice_counts_once(desk: Desk, venue: Venue) -> None:
    await venue.break_("fill_twice")
    for side in (Side.BUY, Side.BUY, Side.SELL):
        await desk.place(side, "0.2")
    await desk.settled()
    await desk.exact()
    assert desk.book.position(SYMBOL).quantity == Decimal("0.2")


async def test_late_fills_count_once_when_rest_was_faster(desk: Desk, venue: Venue) -> None:
    """The order is whole at once, its fills come later: REST's are not counted twice."""
    await venue.break_("fill_late", delay_seconds=2)
    await desk.place(Side.BUY, "0.3")
    await desk.sync.refresh()
    await desk.exact()
    before = desk.asked
    late = len(venue.journal("order_filled"))
    await until(lambda: desk.asked > before, within=10)
    await stays(lambda: desk.book.position(SYMBOL).quantity == Decimal("0.3"), during=1)
    await desk.exact()
    assert late > 0


async def test_late_fills_alone_are_heard_late(desk: Desk, venue: Venue) -> None:
    """Without REST the same fills count when the feed reports them, and end the order."""
    await venue.break_("fill_late", delay_seconds=1.5)
    await desk.place(Side.BUY, "0.3")
    assert desk.book.position(SYMBOL).quantity == 0
    await desk.settled()
    await desk.exact()


async def test_late_fills_after_a_new_snapshot_count_once(desk: Desk, venue: Venue) -> None:
    """A snapshot that already has a fill in its sum, and the same fill reported after it."""
    await venue.break_("fill_late", delay_seconds=3)
    bars = await desk.broker.call("OHLC", lambda v: v.candles(SYMBOL, timeframe="1m", since=0))
    above = (bars[-1].close * Decimal("1.0003")).quantize(Decimal("0.1"))
    await desk.place(kind=OrderType.LIMIT, quantity="1.2", price=str(above))
    filled = [entry for entry in venue.journal("order_filled") if float(entry["remaining"]) > 0]
    assert filled, "nothing of the order was filled, or all of it"
    await desk.supervisor.restart("account_feed", within=10)
    await stays(lambda: desk.feed.up, during=4)
    for order in desk.book.open_orders():
        await desk.sync.cancel(order)
    await desk.settled()
    await desk.exact()
    assert desk.book.position(SYMBOL).quantity > 0


async def test_an_order_whose_answer_was_lost_is_heard_of(desk: Desk, venue: Venue) -> None:
    """It was taken, and no one asks: the feed tells of it, and it was sent once."""
    await venue.break_("lost_answer", methods=["AddOrder"], count=1)
    with pytest.raises(VenueDown):
        await desk.place(Side.BUY, "0.2")
    await desk.settled()
    await desk.exact()
    assert len(venue.journal("order_added")) == 1
    assert sample(desk.metrics, "trading_orders_total", outcome="filled") == 1


async def test_an_order_that_the_venue_cancels_half_filled_ends(desk: Desk, venue: Venue) -> None:
    """Cancelled, with what was filled until then."""
    await venue.break_("partial_cancel", share=0.4, count=1)
    order = await desk.place(Side.BUY, "0.1")
    await desk.settled()
    await desk.exact()
    ended = await desk.book.find(order.client_id)
    assert ended is not None
    assert (ended.status, ended.filled) == (OrderStatus.CANCELLED, Decimal("0.04"))


@pytest.mark.parametrize("seed", [1, 2])
async def test_gaps_lose_nothing(desk: Desk, venue: Venue, seed: int) -> None:
    """A third of the messages is lost: the numbers show it, and REST tells the rest."""
    await venue.break_("gapped_feed", channels=["executions"], probability=0.35, seed=seed)
    for number in range(8):
        await desk.place(Side.SELL if number % 4 == 3 else Side.BUY, "0.05")
    await venue.clear_faults()
    # The next message shows whether the last ones were lost; here no one polls.
    await desk.place(Side.BUY, "0.05")
    await desk.settled()
    await desk.exact()
    assert desk.book.position(SYMBOL).quantity == Decimal("0.25")
    assert sample(desk.metrics, "trading_account_feed_gaps_total", channel="executions") > 0


async def test_a_silent_feed_is_replaced_when_rest_knows_more(desk: Desk, venue: Venue) -> None:
    """Heartbeats alone do not make a feed good: what polling hears shows that it is stale."""
    order = await desk.place(kind=OrderType.LIMIT, price="100")
    await until(lambda: desk.book.open_orders()[0].status is OrderStatus.ACCEPTED)
    before = venue.last_seq()
    await venue.break_("stale_feed", channels=["executions"])
    await desk.sync.cancel(order if order.venue_id else desk.book.open_orders()[0])
    await desk.sync.refresh()
    assert desk.book.open_orders() == []
    await until(lambda: venue.journal("feed_connected", after=before), within=12)
    await desk.feed.wait_up()
    await desk.place(Side.BUY, "0.1")
    await desk.settled()
    await desk.exact()


async def test_an_order_filled_while_the_feed_was_away_is_heard(desk: Desk) -> None:
    """The feed starts again with a look at all orders."""
    await desk.supervisor.stop("account_feed")
    await desk.place(Side.BUY, "0.1")
    desk.supervisor.start()
    await desk.settled()
    await desk.exact()


async def test_strangers_are_compared_and_not_counted(desk: Desk, venue: Venue) -> None:
    """A trade manually and a deposit are no one's order: a comparison is called for."""
    await venue.by_hand(pair=SYMBOL, type="buy", ordertype="market", volume="0.01")
    await until(lambda: desk.compared == 1)
    assert desk.book.position(SYMBOL).quantity == 0
    await venue.deposit("USD", "5")
    await until(lambda: desk.compared == 2, within=10)


async def test_it_connects_again_after_the_venue_was_away(desk: Desk, venue: Venue) -> None:
    """Killed and started again, the venue is joined again, with what happened in between."""
    venue.stop()
    await until(lambda: not desk.feed.up)
    venue.start()
    await venue.ready()
    await until(lambda: desk.feed.up, within=30)
    await desk.broker.wait_up()
    await desk.place(Side.BUY, "0.1")
    await desk.settled()
    await desk.exact()
