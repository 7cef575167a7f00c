"""Orders: written down before they are sent, found again, denied, and cancelled."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from tests.service.bot.order_harness import LOST_SECONDS, Desk, venue_order
from tests.service.botkit.conftest import SYMBOL, sample
from trading_ops import clock
from trading_ops.agent import Side, TradingState
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.orders.market import Quote
from trading_ops.botkit.orders.order import (
    Order,
    OrderStatus,
    Position,
    VenueOrder,
    adopted_order,
    new_client_id,
)
from trading_ops.botkit.venue.errors import VenueDown, VenueRefused
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.trading.strategy import Target

pytestmark = pytest.mark.processes


@pytest.fixture
async def desk(metrics: BotMetrics, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(metrics, tmp_path / "bot.db")
    await desk.start()
    yield desk
    await desk.supervisor.stop()


async def test_order_is_written_down_before_it_is_sent(desk: Desk) -> None:
    """At the moment the venue gets an order, it is durable here."""
    seen: list[list[str]] = []
    submit = desk.venue.submit

    async def watched(order: Order) -> str:
        seen.append(desk.statuses)
        return await submit(order)

    desk.venue.submit = watched  # type: ignore[method-assign]
    await desk.trade(Target.LONG)
    assert seen == [["submitted"]]
    assert desk.statuses == ["accepted"]


async def test_fill_becomes_a_position(desk: Desk, metrics: BotMetrics) -> None:
    """A filled order is counted once, in memory, in the store and in the metrics."""
    await desk.trade(Target.LONG)
    desk.venue.end("O0", OrderStatus.FILLED, "0.04")
    await desk.trade(Target.LONG)
    await desk.trade(Target.LONG)
    assert desk.book.position(SYMBOL) == Position(quantity=Decimal("0.04"), cost=Decimal(40))
    assert (await desk.store.load()).positions[SYMBOL].quantity == Decimal("0.04")
    assert sample(metrics, "trading_orders_total", outcome="filled") == 1
    assert sample(metrics, "trading_position", symbol=SYMBOL) == 0.04


async def test_lost_acknowledgement_is_found_again(desk: Desk) -> None:
    """An order whose answer was lost is recognized at the venue, and not sent twice."""
    desk.venue.submit_error = VenueDown("AddOrder: timeout")
    with pytest.raises(Unavailable, match="timeout"):
        await desk.trade(Target.LONG)
    assert desk.statuses == ["submitted"]
    await desk.trade(Target.LONG)
    assert desk.statuses == ["accepted"]
    assert len(desk.venue.submitted) == 1


async def test_lost_order_that_was_filled_meanwhile(desk: Desk) -> None:
    """An order whose answer was lost and that is closed by now is found among the closed ones."""
    desk.venue.submit_error = VenueDown("AddOrder: timeout")
    with pytest.raises(Unavailable):
        await desk.trade(Target.LONG)
    desk.venue.end("O0", OrderStatus.FILLED, "0.04")
    await desk.trade(Target.LONG)
    assert desk.statuses == ["filled"]
    assert desk.book.position(SYMBOL).quantity == Decimal("0.04")


async def test_order_that_never_arrived_is_given_up(
    desk: Desk, metrics: BotMetrics, tmp_path: Path
) -> None:
    """Only after a while is an order that the venue does not know taken for lost."""
    desk.venue.submit_error, desk.venue.arrives = VenueDown("AddOrder: timeout"), False
    with pytest.raises(Unavailable):
        await desk.trade(Target.LONG)
    await desk.trade(Target.LONG)
    assert desk.statuses == ["submitted"]
    (order,) = desk.book.open_orders()
    object.__setattr__(order, "created_at", clock.timestamp() - LOST_SECONDS - 1)
    desk.venue.submit_error = None
    await desk.trade(Target.UNKNOWN)
    assert desk.statuses == ["rejected"]


async def test_rejected_order_ends(desk: Desk, metrics: BotMetrics) -> None:
    """The venue's no ends the order and nothing else."""
    desk.venue.submit_error, desk.venue.arrives = VenueRefused("EOrder:Insufficient funds"), False
    await desk.trade(Target.LONG)
    assert desk.statuses == ["rejected"]
    assert sample(metrics, "trading_orders_total", outcome="rejected") == 1
    assert desk.orders.up


async def test_contradicted_order_is_cancelled(desk: Desk, metrics: BotMetrics) -> None:
    """When the target turns, the open order goes; a cancel that came too late is harmless."""
    await desk.trade(Target.LONG)
    await desk.trade(Target.FLAT)
    await desk.trade(Target.FLAT)
    assert desk.statuses == ["cancelled"]
    (ended,) = [await desk.store.find(order.client_id) for order in desk.venue.submitted]
    assert ended is not None
    await desk.sync.cancel(ended)
    assert sample(metrics, "trading_open_orders") == 0


async def test_leftovers_of_an_earlier_life_are_cancelled(
    metrics: BotMetrics, tmp_path: Path
) -> None:
    """At the first pass recorded orders go; unknown ones of ours are reported, and others' stay."""
    first = Desk(metrics, tmp_path / "bot.db")
    await first.start()
    await first.trade(Target.LONG)
    await first.supervisor.stop()
    second = Desk(BotMetrics(version="1", mode="paper"), tmp_path / "bot.db")
    second.venue.open = first.venue.open
    for venue_id, client_id in (("OWN", new_client_id("alpha")), ("ELSE", new_client_id("beta"))):
        order = Order(
            client_id=client_id,
            symbol=SYMBOL,
            side=Side.BUY,
            price=Decimal(1),
            quantity=Decimal(1),
            created_at=0,
        )
        second.venue.open[venue_id] = venue_order(order, venue_id)
    await second.start()
    await second.trade(Target.UNKNOWN)
    assert second.venue.cancelled == ["O0"]
    assert list(second.venue.open) == ["OWN", "ELSE"]
    assert second.orphans == 1
    assert second.statuses == ["cancelled"]
    await second.supervisor.stop()


def stranger(side: Side, quantity: str = "1") -> VenueOrder:
    """An open order of this bot's that its book does not know."""
    order = Order(
        client_id=new_client_id("alpha"),
        symbol=SYMBOL,
        side=side,
        price=Decimal(1000),
        quantity=Decimal(quantity),
        created_at=0,
    )
    return venue_order(order, "OWN")


async def test_none_is_sent_beside_an_order_that_the_book_takes_for_refused(
    desk: Desk, metrics: BotMetrics
) -> None:
    """It is at the venue all the same: seen there, nothing is sent until it counts."""
    desk.venue.submit_error = VenueRefused("AddOrder: refused")
    await desk.trade(Target.LONG)
    desk.venue.submit_error = None
    assert desk.statuses == ["rejected"]
    await desk.trade(Target.LONG)
    assert len(desk.venue.submitted) == 1
    assert sample(metrics, "trading_order_denials_total", code="recovering") == 1
    assert desk.orphans == 1
    # It is filled, and the book still knows nothing of that.
    desk.venue.end("O0", OrderStatus.FILLED, filled=str(desk.venue.submitted[0].quantity))
    await desk.trade(Target.LONG)
    assert len(desk.venue.submitted) == 1
    # The comparison counts it.
    (order,) = desk.venue.submitted
    await desk.book.update(order, desk.venue.closed["O0"])
    assert desk.book.position(SYMBOL).quantity == order.quantity
    await desk.trade(Target.FLAT)
    assert [order.side for order in desk.venue.submitted] == [Side.BUY, Side.SELL]


@pytest.mark.parametrize("end", ["adopted", "cancelled"])
async def test_a_stranger_that_is_known_holds_up_nothing(desk: Desk, end: str) -> None:
    """Once the order is in the book, or ended without a fill, entries leave again."""
    desk.venue.open["OWN"] = stranger(Side.BUY)
    await desk.trade(Target.LONG)
    assert desk.venue.submitted == []
    if end == "adopted":
        found = desk.venue.open["OWN"]
        order = adopted_order(found, found.client_id or "", clock.timestamp())
        await desk.book.add(order)
        await desk.book.update(order, found)
        await desk.sync.cancel(desk.book.open_orders()[0])
    else:
        desk.venue.end("OWN", OrderStatus.CANCELLED)
    for _ in range(2):
        await desk.trade(Target.LONG)
    assert len(desk.venue.submitted) == 1


@pytest.mark.parametrize(
    ("side", "leaves"), [(Side.BUY, True), (Side.SELL, False)], ids=["a buy", "a sell"]
)
async def test_an_exit_beside_a_stranger(desk: Desk, side: Side, leaves: bool) -> None:
    """An exit leaves beside an unknown buy; beside an unknown sell it could be the second one."""
    desk.book.positions[SYMBOL] = Position(quantity=Decimal(1), cost=Decimal(1000))
    desk.venue.open["OWN"] = stranger(side)
    await desk.trade(Target.FLAT)
    assert bool(desk.venue.submitted) == leaves


async def test_a_stranger_in_one_symbol_leaves_the_others_alone(desk: Desk) -> None:
    """Only what could double it waits."""
    desk.venue.open["OWN"] = replace(stranger(Side.BUY), symbol="ETH/USD")
    await desk.trade(Target.LONG)
    assert [order.symbol for order in desk.venue.submitted] == [SYMBOL]


@pytest.mark.parametrize("refusal", [None, VenueRefused("QueryOrders: refused")], ids=str)
async def test_strangers_stay_while_the_venue_does_not_report(
    desk: Desk, refusal: Exception | None
) -> None:
    """What became of one is not known, so it counts as before; the pass continues."""
    desk.venue.orders_error = refusal
    desk.venue.open["OWN"] = stranger(Side.BUY)
    await desk.trade(Target.LONG)
    del desk.venue.open["OWN"]  # and it is in no other answer
    await desk.trade(Target.LONG)
    assert desk.venue.submitted == []
    assert desk.orders.up


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("halted", "trading_halted"),
        ("reducing", "trading_reducing"),
        ("stopping", "stopping"),
        ("stale", "market_data_stale"),
        ("small", "below_minimum_size"),
    ],
)
async def test_denied_order_never_leaves(
    desk: Desk, metrics: BotMetrics, case: str, code: str
) -> None:
    """What the bot's own checks deny is counted by reason and not sent."""
    match case:
        case "stopping":
            desk.stopping = True
        case "stale":
            desk.quotes[SYMBOL] = Quote(bid=Decimal(1000), ask=Decimal(1001), at=0.0)
        case "small":
            desk.orders._notional = Decimal("0.05")
        case _:
            desk.state = TradingState(case)
    await desk.trade(Target.LONG)
    assert desk.venue.submitted == []
    assert sample(metrics, "trading_order_denials_total", code=code) == 1
    assert desk.statuses == []


async def test_reducing_lets_the_exit_through(desk: Desk) -> None:
    """While reducing, selling what is held passes."""
    desk.book.positions[SYMBOL] = Position(quantity=Decimal(1), cost=Decimal(1000))
    desk.state = TradingState.REDUCING
    await desk.trade(Target.FLAT)
    assert [order.side for order in desk.venue.submitted] == [Side.SELL]


async def test_broker_that_is_down_blocks_and_is_no_fault(desk: Desk) -> None:
    """Passes with the broker down do not count, and orders stays up."""
    desk.broker.down = True
    for _ in range(4):
        with pytest.raises(Unavailable, match="down"):
            await desk.trade(Target.LONG)
    assert desk.orders.up
