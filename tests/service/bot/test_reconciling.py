"""What the reconciliation concludes from what it reads, on a venue that says what the test says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest

from tests.service.bot.conftest import SYMBOL
from tests.service.bot.desk import Desk, FakeKraken, word
from trading_ops import clock
from trading_ops.agent import Side
from trading_ops.instrument import BotMetrics
from trading_ops.paper.bot.brokerage.port import Balance, History, VenueTrade
from trading_ops.paper.bot.component import Unavailable
from trading_ops.paper.bot.reconciliation.component import Reconciliation
from trading_ops.paper.bot.reconciliation.gather import Caller
from trading_ops.paper.bot.reconciliation.sides import Policy
from trading_ops.paper.bot.trading.order import Order, OrderStatus


class Account(FakeKraken):
    """A venue that tells of money too."""

    def __init__(self) -> None:
        super().__init__()
        self.money = {"BTC": Decimal(0), "USD": Decimal(5000)}
        self.trades: tuple[VenueTrade, ...] = ()
        self.on_balances: Callable[[], None] = lambda: None

    async def balances(self) -> dict[str, Balance]:
        told = {name: Balance(total=amount) for name, amount in self.money.items()}
        self.on_balances()
        return told

    async def positions(self) -> dict[str, Decimal]:
        return {}

    async def history(self, since: float) -> History:
        return History(since=since, trades=self.trades, ledger=(), complete=True)


@dataclass
class Scene:
    """The parts, and what was held."""

    desk: Desk
    account: Account
    reconciliation: Reconciliation
    held: list[str] = field(default_factory=list)
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
        await self.desk.book.begin(order)
        if not answered:
            return order
        await self.desk.book.accept(order, f"O-{name}")
        self.account.open[f"O-{name}"] = word(order, f"O-{name}")
        return order


@pytest.fixture
async def scene(metrics: BotMetrics, tmp_path: Path) -> AsyncIterator[Scene]:
    desk, account = Desk(metrics, tmp_path / "bot.db"), Account()
    desk.broker.client = account
    await desk.start()
    scene = Scene(desk, account, cast(Reconciliation, None))
    scene.reconciliation = Reconciliation(
        metrics,
        broker=cast(Caller, desk.broker),
        book=desk.book,
        store=desk.store,
        turn=asyncio.Lock(),
        hold=scene.hold,
        policy=Policy(),
        interval_seconds=60,
    )
    await desk.book.adopt_balances(account.money)
    await scene.reconciliation.look_now()
    assert scene.reconciliation.recovered
    yield scene
    await desk.supervisor.stop()


async def test_what_was_not_heard_is_heard_before_a_person_accepts(scene: Scene) -> None:
    """Counted afterwards, a fill that is in the balances would make the position too small."""
    buy = await scene.sent("b", Side.BUY, "1")
    done = replace(
        word(buy, "O-b"), status=OrderStatus.FILLED, filled=Decimal(1), cost=Decimal(1000)
    )
    del scene.account.open["O-b"]
    scene.account.closed["O-b"] = done
    await scene.desk.book.hear(buy, done)
    sell = await scene.sent("s", Side.SELL, "1")
    part = replace(word(sell, "O-s"), filled=Decimal("0.4"), cost=Decimal(400))
    scene.account.open["O-s"] = part
    scene.account.money = {"BTC": Decimal("0.6"), "USD": Decimal(4400)}
    await scene.reconciliation.accept_venue("anna", "the books of June")
    await scene.desk.book.hear(sell, part)
    assert scene.desk.book.position(SYMBOL).quantity == Decimal("0.6")
    assert scene.desk.book.expected == scene.account.money


async def test_an_account_that_moves_is_not_accepted(scene: Scene) -> None:
    """Nobody knows which of its balances the fills that were heard are in."""

    def move() -> None:
        scene.account.money["USD"] -= 1

    scene.account.on_balances = move
    with pytest.raises(Unavailable, match="moves"):
        await scene.reconciliation.accept_venue("anna", "it was me")
    assert scene.desk.book.expected["USD"] == 5000


async def test_a_difference_counts_after_two_looks_with_nothing_in_flight(scene: Scene) -> None:
    """The first of them may not be one at which an order was still on its way."""
    scene.account.money["USD"] -= 7
    order = await scene.sent("b", Side.BUY, "1", answered=False)
    await scene.reconciliation.look_now()
    scene.account.closed["O-b"] = replace(word(order, "O-b"), status=OrderStatus.CANCELLED)
    await scene.reconciliation.look_now()
    assert scene.held == []
    await scene.reconciliation.look_now()
    assert scene.held == ["recovery-balance-USD"]


async def test_a_strangers_trade_is_not_counted_before_its_halt_is_stored(scene: Scene) -> None:
    """Once it is counted no comparison finds it again, so the halt would not outlive the bot."""
    trade = VenueTrade(
        trade_id="T1",
        venue_id="O-stranger",
        symbol=SYMBOL,
        client_id=None,
        side=Side.BUY,
        quantity=Decimal(1),
        cost=Decimal(1000),
        fee=Decimal(0),
        at=clock.timestamp(),
    )
    scene.account.trades = (trade,)
    scene.account.money = {"BTC": Decimal(1), "USD": Decimal(4000)}
    scene.disk_is_full = True
    with pytest.raises(Unavailable, match="full"):
        await scene.reconciliation.compare_now()
    assert scene.desk.book.expected["BTC"] == 0
    scene.disk_is_full = False
    await scene.reconciliation.compare_now()
    assert [hold.partition("-")[0] for hold in scene.held] == ["recovery"]
    assert scene.desk.book.expected["BTC"] == 1
