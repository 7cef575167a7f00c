"""What news do to the book, with a REST side that answers as the test says."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.unit.botkit.compared_account import order, venue_order
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.orders.order import Fill, Order, OrderStatus, VenueOrder, apply_report
from trading_ops.botkit.venue.balances import Balances
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.brokerage.account_news import AccountNews, Money, Rest
from trading_ops_lab.paper.bot.brokerage.executions import Execution

ONE, TWO = Decimal(1), Decimal(2)


class FakeBook:
    """Holds orders in memory; remembers each word."""

    def __init__(self, *orders: Order) -> None:
        self.orders = {placed.client_id: placed for placed in orders}
        self.reports: list[VenueOrder] = []
        self.down = False

    def owns(self, client_id: str | None) -> bool:
        return (client_id or "").startswith("own-")

    def open_orders(self) -> list[Order]:
        return [placed for placed in self.orders.values() if placed.status.is_open]

    async def find(self, client_id: str) -> Order | None:
        return self.orders.get(client_id)

    async def update(self, order: Order, report: VenueOrder) -> Fill | None:
        if self.down:
            raise Unavailable("store: down")
        self.reports.append(report)
        after, fill = apply_report(self.orders[order.client_id], report)
        self.orders[order.client_id] = after
        return fill


class Scene:
    def __init__(self, *orders: Order) -> None:
        self.book = FakeBook(*orders)
        self.metrics = BotMetrics(version="1", mode="paper", currencies=["USD"])
        self.balances = Balances(self.metrics, currencies=["USD"], rest_seconds=1)
        self.asked: list[list[str]] = []
        self.looked = 0
        self.compared = 0
        self.answers: list[VenueOrder] = []
        rest = Rest(orders=self._orders, everything=self._everything, compare=self._compare)
        self.news = AccountNews(self.book, self.balances, rest)

    async def _orders(self, venue_ids: list[str]) -> list[VenueOrder]:
        self.asked.append(venue_ids)
        return self.answers

    async def _everything(self) -> None:
        self.looked += 1

    def _compare(self) -> None:
        self.compared += 1

    async def settle(self) -> None:
        """Let the task that asks by REST do what waits for it."""
        task = asyncio.create_task(self.news.settle())
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()


def execution(kind: str, **given: object) -> Execution:
    return Execution(order_id="V1", exec_type=kind, cl_ord_id="own-1", **given)  # type: ignore[arg-type]


def trade(number: int, quantity: Decimal) -> Execution:
    return execution(
        "trade", exec_id=f"T{number}", symbol="BTC/USD", last_qty=quantity, cost=quantity * 100
    )


NEW = execution("pending_new", cum_qty=Decimal(0))


async def test_what_is_sure_is_passed_on_at_once() -> None:
    scene = Scene(order(status=OrderStatus.SUBMITTED, venue_id=None))
    await scene.news.orders_moved([NEW, trade(1, ONE)])
    known = scene.book.orders["own-1"]
    assert (known.venue_id, known.filled, known.cost) == ("V1", ONE, Decimal(100))
    assert known.status is OrderStatus.PARTIALLY_FILLED
    await scene.settle()
    assert scene.asked == []


@pytest.mark.parametrize("kind", ["canceled", "expired", "filled"])
async def test_each_end_is_a_terminal_state(kind: str) -> None:
    scene = Scene(order())
    zero = Decimal(0)
    await scene.news.orders_moved([NEW, execution(kind, cum_qty=zero, cum_cost=zero)])
    ends = {"canceled": "cancelled", "expired": "expired", "filled": "filled"}
    assert scene.book.orders["own-1"].status.value == ends[kind]


async def test_nothing_is_added_to_a_book_that_is_ahead() -> None:
    """REST reported a fill that the feed has not: the next one does not replace it."""
    scene = Scene(order(filled=ONE, cost=Decimal(100)))
    scene.answers = [replace(venue_order(filled="2"), venue_id="V1", cost=Decimal(250))]
    await scene.news.orders_moved([NEW, trade(2, TWO)])
    assert scene.book.reports == []
    await scene.settle()
    assert scene.asked == [["V1"]]
    assert scene.book.orders["own-1"].cost == Decimal(250), "REST's word, not the feed's sum"


async def test_a_fill_of_an_order_that_ended_is_asked_about() -> None:
    scene = Scene(order(status=OrderStatus.CANCELLED))
    await scene.news.orders_moved([NEW, trade(1, ONE)])
    assert scene.book.reports == []
    await scene.settle()
    assert scene.asked == [["V1"]]


async def test_what_could_not_be_stored_is_not_built_upon() -> None:
    scene = Scene(order())
    scene.book.down = True
    await scene.news.orders_moved([NEW, trade(1, ONE)])
    scene.book.down = False
    await scene.news.orders_moved([trade(2, ONE)])
    assert scene.book.reports == [], "the sum would lack what was not stored"
    await scene.settle()
    assert scene.asked == [["V1"]]


async def test_after_a_snapshot_all_orders_are_asked_about() -> None:
    scene = Scene(order())
    scene.news.orders_begun([])
    await scene.settle()
    assert scene.looked == 1


async def test_strangers_are_compared_at_most_now_and_then() -> None:
    scene = Scene()
    stranger = Execution(order_id="V9", exec_type="trade", cl_ord_id="other", exec_id="T9")
    await scene.news.orders_moved([stranger])
    assert scene.book.reports == []
    assert scene.news.look() is None
    assert scene.compared == 1
    scene.news.money_moved([Money(asset="USD", balance=ONE, type="deposit")])
    scene.news.look()
    assert scene.compared == 1, "the next one waits for its time"
