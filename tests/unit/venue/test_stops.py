"""Orders that sleep and orders that change, on a book of two levels."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.unit.venue.exchange import NOW, PAIR, exchange, limit
from trading_ops_lab.paper.venue import market_tick
from trading_ops_lab.paper.venue.amending import Change
from trading_ops_lab.paper.venue.engine import ANY_CALLER, Engine
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.orders import Kind, NewOrder, Order, Side
from trading_ops_lab.paper.venue.other_traders import Level


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with exchange(tmp_path) as (engine, _store):
        show(engine, 100, 110)
        yield engine


def show(engine: Engine, bid: int, ask: int, volume: str = "1") -> None:
    """Make the crowd's book, and the last trade in its middle."""
    market = engine.markets[PAIR]
    market.book.bids = [Level(Decimal(bid), Decimal(volume))]
    market.book.asks = [Level(Decimal(ask), Decimal(volume))]
    market.print(Decimal((bid + ask) // 2), Decimal(1), "buy", "market", NOW)


def sleeper(
    engine: Engine, kind: Kind, side: Side, trigger: int, *, volume: str = "0.5", price: int = 0
) -> Order:
    new = NewOrder(
        pair=PAIR,
        side=side,
        kind=kind,
        volume=Decimal(volume),
        trigger_price=Decimal(trigger),
        price=Decimal(price) if price else None,
    )
    return engine.add("a", new, NOW)


def wake(engine: Engine) -> None:
    market_tick.wake(engine.matcher, engine.markets[PAIR], NOW + 1)


@pytest.mark.parametrize(
    ("kind", "side", "trigger", "before", "at"),
    [
        ("stop-loss", "sell", 95, 96, 95),
        ("stop-loss", "buy", 115, 114, 115),
        ("take-profit", "sell", 115, 114, 115),
        ("take-profit", "buy", 95, 96, 95),
    ],
)
def test_a_trigger_has_a_direction(
    engine: Engine, *, kind: Kind, side: Side, trigger: int, before: int, at: int
) -> None:
    """Stops wake when it gets worse, take-profits when it gets better, at the price itself."""
    order = sleeper(engine, kind, side, trigger)
    for price, status in ((before, "open"), (at, "closed")):
        engine.markets[PAIR].print(Decimal(price), Decimal(1), "buy", "market", NOW)
        wake(engine)
        assert order.status == status


def test_a_sleeping_buyer_holds_its_trigger_price(engine: Engine) -> None:
    """0.5 at 120 and the taker's fee of 0.26 % are not free for others."""
    sleeper(engine, "stop-loss", "buy", 120)
    assert engine.accounts["a"].held("ZUSD", engine.fees) == Decimal("60.1560")


def test_a_sleeper_is_not_on_the_book(engine: Engine) -> None:
    """No one can trade with it, not even at its own limit."""
    sleeper(engine, "stop-loss-limit", "sell", 90, price=89)
    assert engine.resting(PAIR) == []
    taker = engine.add("b", limit("buy", "105"), NOW)
    assert taker.filled == 0


def test_a_triggered_limit_takes_what_it_can_and_rests(engine: Engine) -> None:
    """Half is sold at once, the rest waits at the limit in the book."""
    order = sleeper(engine, "stop-loss-limit", "sell", 90, volume="0.8", price=88)
    show(engine, 89, 90, "0.5")
    wake(engine)
    assert (order.status, order.filled, order.on_book) == ("open", Decimal("0.5"), True)
    assert engine.resting(PAIR) == [order]


def test_a_triggered_buyer_who_cannot_pay_is_cancelled(engine: Engine) -> None:
    """The price has jumped past what the account has: nothing is overdrawn."""
    engine.deposit("a", "ZUSD", Decimal(-99_900), NOW)
    order = sleeper(engine, "stop-loss", "buy", 180)
    show(engine, 300, 310)
    wake(engine)
    assert (order.status, order.reason) == ("canceled", "insufficient_funds")
    assert engine.accounts["a"].balances["ZUSD"] == 100
    assert engine.accounts["a"].held("ZUSD", engine.fees) == 0


def test_a_smaller_order_keeps_its_place_and_a_dearer_one_loses_it(engine: Engine) -> None:
    """Who came first is served first, unless the price changed or the volume grew."""
    first = engine.add("a", limit("sell", "105", "0.5"), NOW)
    second = engine.add("b", limit("sell", "105", "0.5"), NOW + 1)
    engine.amend("a", first, Change(volume=Decimal("0.4")), NOW + 2, ANY_CALLER)
    assert engine.resting(PAIR) == [first, second]
    engine.amend("a", first, Change(volume=Decimal("0.6")), NOW + 3, ANY_CALLER)
    assert engine.resting(PAIR) == [second, first]
    engine.amend("b", second, Change(price=Decimal(106)), NOW + 4, ANY_CALLER)
    assert engine.resting(PAIR) == [first, second]


def test_an_order_cannot_shrink_below_what_is_filled(engine: Engine) -> None:
    """Its rest is cancelled instead, and its fills stay."""
    order = engine.add("a", limit("sell", "105", "0.5"), NOW)
    engine.add("b", limit("buy", "105", "0.2"), NOW)
    engine.amend("a", order, Change(volume=Decimal("0.1")), NOW, ANY_CALLER)
    assert (order.status, order.filled, order.reason) == ("canceled", Decimal("0.2"), "amended")


def test_an_amended_order_that_crosses_takes(engine: Engine) -> None:
    """At its new price it is a taker for what is there; unaffordable changes do nothing."""
    order = engine.add("a", limit("buy", "90", "0.5"), NOW)
    with pytest.raises(VenueRefusal, match="Insufficient funds"):
        engine.amend("a", order, Change(volume=Decimal(2000)), NOW, ANY_CALLER)
    assert (order.volume, order.changed_at) == (Decimal("0.5"), 0)
    engine.amend("a", order, Change(price=Decimal(110)), NOW, ANY_CALLER)
    assert (order.status, order.cost, order.fee) == ("closed", Decimal(55), Decimal("0.1430"))


def test_a_sleeper_can_be_moved(engine: Engine) -> None:
    """Its trigger price changes, and then decides; a resting order has none."""
    order = sleeper(engine, "stop-loss", "sell", 90)
    engine.amend("a", order, Change(trigger_price=Decimal(104)), NOW, ANY_CALLER)
    show(engine, 100, 108)
    wake(engine)
    assert order.status == "closed"
    resting = engine.add("a", limit("buy", "90"), NOW)
    with pytest.raises(VenueRefusal, match="trigger_price"):
        engine.amend("a", resting, Change(trigger_price=Decimal(80)), NOW, ANY_CALLER)
