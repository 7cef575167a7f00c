"""What the reconciliation concludes from what it reads, on a venue that says what the test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from tests.service.bot.order_harness import Desk, FakeKraken, venue_order
from tests.service.botkit.conftest import SYMBOL
from trading_ops import clock
from trading_ops.agent import CommandFailed, Side
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.orders.order import Order, OrderStatus, new_client_id
from trading_ops.botkit.reconciliation.component import Reconciliation
from trading_ops.botkit.reconciliation.first_start import OVERLAP_SECONDS
from trading_ops.botkit.reconciliation.state import Policy
from trading_ops.botkit.venue.adapter import (
    AccountHistoryPage,
    Balance,
    Cursor,
    VenueCaller,
    VenueTrade,
)
from trading_ops.instrument import BotMetrics

pytestmark = pytest.mark.processes

MAX_SECONDS = 0.2


class Account(FakeKraken):
    """A venue that tells of money too."""

    def __init__(self) -> None:
        super().__init__()
        self.money = {"BTC": Decimal(0), "USD": Decimal(5000)}
        self.trades: tuple[VenueTrade, ...] = ()
        self.page: AccountHistoryPage | None = None
        self.asked_since: list[float] = []
        self.on_balances: Callable[[], None] = lambda: None

    async def balances(self) -> dict[str, Balance]:
        balances = {name: Balance(total=amount) for name, amount in self.money.items()}
        self.on_balances()
        return balances

    async def positions(self) -> dict[str, Decimal]:
        return {}

    async def history(self, since: float, cursor: Cursor) -> AccountHistoryPage:
        self.asked_since.append(since)
        return self.page or AccountHistoryPage(trades=self.trades)


@dataclass
class Scene:
    """The parts, and what was held."""

    desk: Desk
    account: Account
    reconciliation: Reconciliation
    held: list[str] = field(default_factory=list)
    order_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    disk_is_full: bool = False

    def hold(self, hold_id: str, _reason: str) -> None:
        if self.disk_is_full:
            raise Unavailable("the disk is full")
        self.held.append(hold_id)

    async def sent(self, name: str, side: Side, quantity: str, *, answered: bool = True) -> Order:
        """Have an order at the venue, as far as the records know without a fill; or under way."""
        order = Order(
            client_id=name,
            symbol=SYMBOL,
            side=side,
            price=Decimal(1000),
            quantity=Decimal(quantity),
            created_at=clock.timestamp(),
        )
        await self.desk.book.add(order)
        if not answered:
            return order
        await self.desk.book.accept(order, f"O-{name}")
        self.account.open[f"O-{name}"] = venue_order(order, f"O-{name}")
        return order


@pytest.fixture
async def scene(metrics: BotMetrics, tmp_path: Path) -> AsyncIterator[Scene]:
    desk, account = Desk(metrics, tmp_path / "bot.db"), Account()
    desk.broker.client = account
    await desk.start()
    scene = Scene(desk, account, cast(Reconciliation, None))
    scene.reconciliation = Reconciliation(
        metrics,
        broker=cast(VenueCaller, desk.broker),
        book=desk.book,
        store=desk.store,
        order_lock=scene.order_lock,
        place_hold=scene.hold,
        policy=Policy(),
        interval_seconds=60,
        max_seconds=MAX_SECONDS,
    )
    await desk.book.adopt_balances(account.money)
    await scene.reconciliation.check_now()
    assert scene.reconciliation.recovered
    yield scene
    await desk.supervisor.stop()


def a_trade(client_id: str | None = None) -> VenueTrade:
    return VenueTrade(
        trade_id="T1",
        venue_id="O-other",
        symbol=SYMBOL,
        client_id=client_id,
        side=Side.BUY,
        quantity=Decimal(1),
        cost=Decimal(1000),
        fee=Decimal(0),
        at=clock.timestamp(),
    )


async def test_what_was_not_heard_is_heard_before_a_person_accepts(scene: Scene) -> None:
    """Counted afterwards, a fill that is in the balances would make the position too small."""
    buy = await scene.sent("b", Side.BUY, "1")
    done = replace(
        venue_order(buy, "O-b"), status=OrderStatus.FILLED, filled=Decimal(1), cost=Decimal(1000)
    )
    del scene.account.open["O-b"]
    scene.account.closed["O-b"] = done
    await scene.desk.book.update(buy, done)
    sell = await scene.sent("s", Side.SELL, "1")
    part = replace(venue_order(sell, "O-s"), filled=Decimal("0.4"), cost=Decimal(400))
    scene.account.open["O-s"] = part
    scene.account.money = {"BTC": Decimal("0.6"), "USD": Decimal(4400)}
    await scene.reconciliation.accept_venue("anna", "the books of June")
    await scene.desk.book.update(sell, part)
    assert scene.desk.book.position(SYMBOL).quantity == Decimal("0.6")
    assert scene.desk.book.expected == scene.account.money


async def test_an_account_that_moves_is_not_accepted(scene: Scene) -> None:
    """No one knows which of its balances the fills that were heard are in."""

    def move() -> None:
        scene.account.money["USD"] -= 1

    scene.account.on_balances = move
    with pytest.raises(Unavailable, match="changed"):
        await scene.reconciliation.accept_venue("anna", "it was me")
    assert scene.desk.book.expected["USD"] == 5000


async def test_a_difference_counts_after_two_looks_with_nothing_in_flight(scene: Scene) -> None:
    """The first of them may not be one at which an order was still on its way."""
    scene.account.money["USD"] -= 7
    order = await scene.sent("b", Side.BUY, "1", answered=False)
    await scene.reconciliation.check_now()
    scene.account.closed["O-b"] = replace(venue_order(order, "O-b"), status=OrderStatus.CANCELLED)
    await scene.reconciliation.check_now()
    assert scene.held == []
    await scene.reconciliation.check_now()
    assert scene.held == ["recovery-balance-USD"]


async def test_a_strangers_trade_is_not_counted_before_its_halt_is_stored(scene: Scene) -> None:
    """Once it is counted no comparison finds it again, so the halt would not outlive the bot."""
    scene.account.trades = (a_trade(),)
    scene.account.money = {"BTC": Decimal(1), "USD": Decimal(4000)}
    scene.disk_is_full = True
    with pytest.raises(Unavailable, match="full"):
        await scene.reconciliation.compare_now()
    assert scene.desk.book.expected["BTC"] == 0
    scene.disk_is_full = False
    await scene.reconciliation.compare_now()
    assert [hold.partition("-")[0] for hold in scene.held] == ["recovery"]
    assert scene.desk.book.expected["BTC"] == 1


@pytest.mark.parametrize("page", [AccountHistoryPage(), AccountHistoryPage(complete=False)])
async def test_what_was_counted_is_not_read_again_while_a_person_is_awaited(
    scene: Scene, page: AccountHistoryPage
) -> None:
    """Or the history of a difference of days would be read each minute; but all of it counts."""
    scene.account.money["USD"] -= 7
    scene.account.page = page
    for _ in range(2):
        await scene.reconciliation.check_now()
    before = scene.account.asked_since[-1]
    await scene.reconciliation.check_now()
    assert (scene.account.asked_since[-1] > before) == page.complete


async def test_a_trade_of_ours_that_has_no_order_yet_is_read_again(scene: Scene) -> None:
    """The venue tells of the trade first and of its order later."""
    scene.account.trades = (a_trade(new_client_id("alpha")),)
    scene.account.money = {"BTC": Decimal(1), "USD": Decimal(4000)}
    for _ in range(3):
        await scene.reconciliation.check_now()
    first, *others = scene.account.asked_since[1:]
    assert others == [first] * 2


async def test_a_history_without_end_gives_the_orders_their_turn(scene: Scene) -> None:
    """It is given up between two requests, and nothing follows from it."""
    scene.account.page = AccountHistoryPage(next_cursor=Cursor())
    scene.account.money["USD"] -= 7
    with pytest.raises(CommandFailed, match=f"within {MAX_SECONDS:g} s"):
        await scene.reconciliation.check_now()
    assert not scene.order_lock.locked()
    assert scene.held == []


async def test_others_have_their_turn_between_two_pages(scene: Scene) -> None:
    """The dead man's switch is renewed without waiting for the end of a long history."""
    asked: list[str] = []
    pages = iter((AccountHistoryPage(next_cursor=Cursor(endpoint="Ledgers")), AccountHistoryPage()))

    async def call(endpoint: str, request: Callable[[Account], Awaitable[Any]]) -> Any:
        asked.append(endpoint)
        if endpoint in {"TradesHistory", "Ledgers"}:
            scene.account.page = next(pages)
        return await request(scene.account)

    scene.desk.broker.call = call  # type: ignore[method-assign]
    await scene.reconciliation.check_now()
    assert asked == ["OpenOrders", "TradesHistory", "Ledgers", "BalanceEx", "OpenPositions"]


async def test_what_happens_while_pages_are_read_is_read_the_next_time(scene: Scene) -> None:
    """A reading that took longer than the overlap would otherwise leave a gap for good."""
    read: list[float] = []
    scene.account.on_balances = lambda: read.append(clock.timestamp())  # the end of the reading
    for _ in range(2):
        await scene.reconciliation.check_now()
    assert scene.account.asked_since[-1] + OVERLAP_SECONDS < read[0]
