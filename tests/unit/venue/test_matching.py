"""Who trades with whom: tables of takers, resting orders and the crowd."""

import random
from decimal import Decimal
from typing import Any

import pytest

from trading_ops_lab.paper.venue import matching
from trading_ops_lab.paper.venue.orders import Order, Side
from trading_ops_lab.paper.venue.other_traders import Level, TradeOfOthers


def levels(*rows: tuple[str, str]) -> list[Level]:
    return [Level(Decimal(price), Decimal(volume)) for price, volume in rows]


ASKS = (("100", "1"), ("101", "2"), ("103", "5"))
BIDS = (("99", "1"), ("98", "2"))


def order(side: Side, price: str, volume: str = "1", account: str = "other", at: int = 1) -> Order:
    fields: dict[str, Any] = {"id": f"O{at}", "pair": "XXBTZUSD", "kind": "limit", "flags": ()}
    return Order(
        **fields,
        account=account,
        side=side,
        price=Decimal(price),
        volume=Decimal(volume),
        client_order_id=None,
        user_reference=None,
        opened_at=at,
    )


@pytest.mark.parametrize(
    ("volume", "limit", "fills"),
    [
        ("0.5", None, [("100", "0.5")]),
        ("2", None, [("100", "1"), ("101", "1")]),
        ("2", "100", [("100", "1")]),
        ("2", "99", []),
        ("9", None, [("100", "1"), ("101", "2"), ("103", "5")]),
    ],
)
def test_a_buyer_takes_the_cheapest_first(
    volume: str, limit: str | None, fills: list[tuple[str, str]]
) -> None:
    """A taker goes up the levels to its limit, and no further than its volume."""
    taking = matching.take(
        "me", "buy", Decimal(volume), Decimal(limit) if limit else None, levels(*ASKS), []
    )
    assert [(str(fill.price), str(fill.volume)) for fill in taking.fills] == fills
    assert taking.volume == sum(Decimal(volume) for _, volume in fills)


def test_a_seller_takes_the_dearest_first() -> None:
    """A seller goes down the bids."""
    taking = matching.take("me", "sell", Decimal(2), Decimal(98), levels(*BIDS), [])
    assert [str(fill.price) for fill in taking.fills] == ["99", "98"]


def test_better_and_older_resting_orders_come_first() -> None:
    """Price before time, and at one price resting orders before the crowd."""
    resting = [order("sell", "100", at=2), order("sell", "100", at=1), order("sell", "99.5", at=3)]
    taking = matching.take("me", "buy", Decimal(4), None, levels(*ASKS), resting)
    met = [fill.resting.id if fill.resting else str(fill.price) for fill in taking.fills]
    assert met == ["O3", "O1", "O2", "100"]


def test_an_account_does_not_trade_with_itself() -> None:
    """The taker stops where its own order would be next, and takes what comes before."""
    mine = order("sell", "100.5", account="me")
    taking = matching.take("me", "buy", Decimal(4), None, levels(*ASKS), [mine])
    assert [str(fill.price) for fill in taking.fills] == ["100"]
    assert taking.met_itself
    assert not matching.take("me", "buy", Decimal(1), None, levels(*ASKS), [mine]).met_itself


@pytest.mark.parametrize(
    ("budget", "volume"),
    [("50", "0.5"), ("100", "1"), ("201", "2"), ("1", "0.01"), ("100000", "8")],
)
def test_a_budget_buys_what_it_pays_for(budget: str, volume: str) -> None:
    """The volume is what the levels give for the money, cut to lots."""
    assert matching.affordable(Decimal(budget), levels(*ASKS)) == Decimal(volume)


def test_prices_that_move_through_an_order_fill_it_at_its_own_price() -> None:
    """The order uses up the levels it meets and gets no better price than it asked for."""
    fills = matching.crossing(order("buy", "101", "2.5"), levels(*ASKS))
    assert [(str(fill.price), str(fill.volume)) for fill in fills] == [("101", "1"), ("101", "1.5")]
    assert [str(fill.level.price) for fill in fills if fill.level] == ["100", "101"]
    assert matching.crossing(order("buy", "99"), levels(*ASKS)) == []


@pytest.mark.parametrize(
    ("side", "price", "hits"),
    [
        ("buy", "100", True),
        ("buy", "101", True),
        ("buy", "99", False),
        ("sell", "100", False),
    ],
)
def test_a_trade_of_the_crowd_hits_the_orders_in_its_way(
    side: Side, price: str, hits: bool
) -> None:
    """A seller's trade at 100 passes every buyer at 100 or better."""
    trade = TradeOfOthers("sell", Decimal(100), Decimal(5))
    volume = matching.hit(order(side, price), trade, trade.volume, random.Random(1))
    assert (volume > 0) == hits


def test_hits_are_sometimes_partial_and_never_too_much() -> None:
    """The seed decides; no one gets more than is offered or wanted, or a part of a lot."""
    trade = TradeOfOthers("sell", Decimal(100), Decimal("0.7"))
    dice = random.Random(3)
    volumes = [matching.hit(order("buy", "100"), trade, trade.volume, dice) for _ in range(200)]
    assert set(volumes) > {Decimal("0.7")}
    assert 40 < sum(volume < Decimal("0.7") for volume in volumes) < 100
    assert all(Decimal(0) < v <= Decimal("0.7") and v == round(v, 8) for v in volumes)
    smallest = order("buy", "100", "0.00000001")
    for _ in range(20):
        assert matching.hit(smallest, trade, trade.volume, dice) == smallest.volume
    assert matching.hit(order("buy", "100"), trade, Decimal(0), dice) == 0
