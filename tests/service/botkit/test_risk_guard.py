"""The risk component on real records and holds: what a restart, a day and an operator change."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.service.botkit.conftest import SYMBOL, sample
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.agent import Holds, Side
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.market import Quote
from trading_ops.botkit.orders.order import Order, OrderStatus, VenueOrder, new_client_id
from trading_ops.botkit.records.driver import ThreadedDatabase
from trading_ops.botkit.records.events import EventLogKind, latest_events
from trading_ops.botkit.records.facts import set_fact
from trading_ops.botkit.records.sqlite import SqliteDriver
from trading_ops.botkit.records.store import Store
from trading_ops.botkit.risk.guard import RiskGuard
from trading_ops.botkit.risk.settings import RiskLimits
from trading_ops.botkit.supervisor import Supervisor
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics

MINIMUM = Decimal("0.001")
LIMITS = RiskLimits(day_zone="Etc/GMT+12")
NEXT_DAY = replace(LIMITS, day_zone="Etc/GMT-14")
"""26 hours ahead of the other zone: whatever the hour is, a later day."""

DAILY, TOTAL = "risk-daily_loss", "risk-total_drawdown"
NOT_EVALUATED = "the loss limits are not being evaluated"


def priced(price: int, age: float = 0.0) -> Quote:
    half = Decimal("0.5")
    return Quote(bid=price - half, ask=price + half, at=clock.timestamp() - age)


@dataclass
class GuardedBot:
    """One process of a bot, as far as risk is concerned; the next one has the same folder."""

    folder: Path
    limits: RiskLimits = LIMITS
    quotes: dict[str, Quote] = field(default_factory=dict)

    async def begin(self) -> "GuardedBot":
        self.metrics = BotMetrics(version="1", mode="paper", symbols=[SYMBOL], currencies=["USD"])
        path = self.folder / "bot.db"
        self.store = Store(self.metrics, lambda: ThreadedDatabase(SqliteDriver(path)))
        self.book = Book("alpha", self.metrics, self.store)
        self.book.restore(await self.store.load())
        self.supervisor = Supervisor([self.store])
        self.supervisor.start()
        self.holds = Holds(self.folder / "held" / "holds.json")
        self.guard = RiskGuard(
            self.metrics,
            limits=self.limits,
            symbols=[SYMBOL],
            stale_seconds=10.0,
            book=self.book,
            store=self.store,
            holds=self.holds,
            quotes=self.quotes,
            minimum=lambda _symbol: MINIMUM,
            balances_at=clock.timestamp,
        )
        return self

    async def end(self) -> None:
        await self.supervisor.stop()

    async def buys(self, quantity: str, price: int) -> None:
        amount = Decimal(quantity)
        order = Order(
            client_id=new_client_id("alpha"),
            symbol=SYMBOL,
            side=Side.BUY,
            price=Decimal(price),
            quantity=amount,
            created_at=clock.timestamp(),
        )
        await self.book.add(order)
        report = VenueOrder(
            venue_id=order.client_id,
            client_id=order.client_id,
            symbol=SYMBOL,
            side=Side.BUY,
            price=order.price,
            quantity=amount,
            status=OrderStatus.FILLED,
            filled=amount,
            cost=amount * price,
            fee=Decimal(0),
        )
        await self.book.update(order, report)

    async def sees(self, price: int, age: float = 0.0) -> set[str]:
        """Look once at this price; return the ids of the holds that stand."""
        self.quotes[SYMBOL] = priced(price, age)
        await self.guard.evaluate()
        return {hold.id for hold in self.holds.holds}

    def release(self, *names: str) -> None:
        self.holds.release(owner="ada", reason="I have looked", ids=frozenset(names))

    @property
    def state(self) -> str:
        return self.holds.state.value

    async def events(self) -> list[str]:
        found = await self.store.transact(
            lambda session: latest_events(session, kind=EventLogKind.RISK, number=50)
        )
        return [event.code for event in reversed(found)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "held").mkdir()
    return tmp_path


@pytest.fixture
async def bot(folder: Path) -> AsyncIterator[GuardedBot]:
    """A bot that holds 0.04, bought for 4, and whose day started there."""
    bot = await GuardedBot(folder).begin()
    assert await bot.sees(100) == set()
    await bot.buys("0.04", 100)
    assert await bot.sees(100) == set()
    yield bot
    await bot.end()


def tight(**given: Any) -> RiskLimits:
    """Limits that a position of 4 can reach."""
    fields = {"daily_loss": Decimal(1), "total_drawdown": Decimal(3)} | given
    return replace(LIMITS, **fields)


@pytest.fixture
async def small(bot: GuardedBot, folder: Path) -> AsyncIterator[GuardedBot]:
    """The same bot with a daily limit of 1 and a total one of 3."""
    await bot.end()
    small = await GuardedBot(folder, tight()).begin()
    assert await small.sees(100) == set()
    yield small
    await small.end()


async def test_a_daily_loss_reduces_and_a_drawdown_halts(small: GuardedBot) -> None:
    """Each at its limit and not before; the reason says how much, an event and metrics tell."""
    assert await small.sees(76) == set()
    assert await small.sees(75) == {DAILY}
    assert small.state == "reducing"
    (hold,) = small.holds.holds
    assert (hold.owner, hold.reason) == ("risk", "daily_loss: 1.000 USD, 1 is allowed")
    assert await small.sees(25) == {DAILY, TOTAL}
    assert small.state == "halted"
    assert await small.events() == ["breach", "breach"]
    metrics = small.metrics
    assert sample(metrics, "trading_daily_loss", currency="USD") == 3
    assert sample(metrics, "trading_drawdown", currency="USD") == 3
    assert sample(metrics, "trading_risk_limit_used_ratio", limit="daily_loss") == 3
    assert sample(metrics, "trading_risk_limit_used_ratio", limit="total_drawdown") == 1
    assert sample(metrics, "trading_risk_breaches_total", limit="daily_loss") == 1
    assert sample(metrics, "trading_exposure", currency="USD") == 1
    assert sample(metrics, "trading_position_unrealized_pnl", symbol=SYMBOL) == -3


async def test_neither_recovery_nor_restart_nor_the_next_day_releases(
    small: GuardedBot, folder: Path
) -> None:
    """Only an operator does; the loss of the day is known to the next process too."""
    await small.sees(70)
    assert await small.sees(120) == {DAILY}
    await small.end()
    again = await GuardedBot(folder, tight()).begin()
    assert again.state == "reducing"
    assert await again.sees(70) == {DAILY}
    assert sample(again.metrics, "trading_daily_loss", currency="USD") == pytest.approx(1.2)
    await again.end()
    tomorrow = await GuardedBot(folder, tight(day_zone=NEXT_DAY.day_zone)).begin()
    assert await tomorrow.sees(70) == {DAILY}
    assert sample(tomorrow.metrics, "trading_daily_loss", currency="USD") == 0
    await tomorrow.end()


async def test_the_highest_result_outlives_the_process(small: GuardedBot, folder: Path) -> None:
    """A drawdown is from there, not from where the next process starts."""
    await small.sees(150)
    await small.end()
    again = await GuardedBot(folder, tight()).begin()
    assert await again.sees(76) == set()
    assert sample(again.metrics, "trading_drawdown", currency="USD") == pytest.approx(2.96)
    assert TOTAL in await again.sees(74)
    await again.end()


async def test_a_release_accepts_what_is_lost_and_a_quarter_more_holds_again(
    small: GuardedBot, folder: Path
) -> None:
    """Also over a restart; the next day starts with the limit itself."""
    await small.sees(70)  # 1.2 of 1
    small.release(DAILY)
    assert await small.sees(70) == set()
    assert await small.sees(65) == set()  # 1.4
    await small.end()
    again = await GuardedBot(folder, tight()).begin()
    assert await again.sees(64) == set()  # 1.44
    assert await again.sees(63) == {DAILY}  # 1.48
    assert await again.events() == ["breach", "accepted", "breach"]
    again.release(DAILY)
    await again.end()
    tomorrow = await GuardedBot(folder, tight(day_zone=NEXT_DAY.day_zone)).begin()
    assert await tomorrow.sees(63) == set()
    assert await tomorrow.sees(38) == {DAILY}  # 1 since then
    await tomorrow.end()


async def test_a_release_when_nothing_is_lost_accepts_nothing(small: GuardedBot) -> None:
    """Anyone who releases after the price came back has not allowed the next loss."""
    await small.sees(70)
    await small.sees(100)
    small.release(DAILY)
    assert await small.sees(100) == set()
    assert await small.sees(75) == {DAILY}


async def test_old_prices_end_new_risk_and_not_the_looks(small: GuardedBot) -> None:
    """What is held cannot be valued; the last price still counts against the limits."""
    assert small.guard.unknown_reason() is None
    assert await small.sees(75, age=11.0) == {DAILY}
    assert (
        small.guard.unknown_reason()
        == f"the {SYMBOL} position cannot be valued: its price is too old"
    )
    assert sample(small.metrics, "trading_risk_limit_used_ratio", limit="market_data_age") > 1


async def test_no_day_begins_and_no_height_is_reached_on_old_prices(
    small: GuardedBot, folder: Path
) -> None:
    """A stale price must not be what tomorrow's loss is counted from."""
    await small.sees(90)
    await small.end()
    tomorrow = await GuardedBot(folder, tight(day_zone=NEXT_DAY.day_zone)).begin()
    await tomorrow.sees(200, age=11.0)
    assert sample(tomorrow.metrics, "trading_drawdown", currency="USD") == 0
    await tomorrow.sees(90)
    await tomorrow.sees(80)
    assert sample(tomorrow.metrics, "trading_daily_loss", currency="USD") == pytest.approx(0.4)
    assert sample(tomorrow.metrics, "trading_drawdown", currency="USD") == pytest.approx(0.8)
    await tomorrow.end()


async def test_a_guard_that_does_not_come_round_lets_nothing_new_in(
    bot: GuardedBot, folder: Path
) -> None:
    """Before its first look, and when it has missed some."""
    await bot.end()
    quick = await GuardedBot(folder, replace(LIMITS, interval_seconds=0.02)).begin()
    assert quick.guard.unknown_reason() == NOT_EVALUATED
    await quick.sees(100)
    assert quick.guard.unknown_reason() is None
    await eventually(lambda: quick.guard.unknown_reason() == NOT_EVALUATED)
    await quick.end()


async def test_what_outgrows_its_limit_reduces(bot: GuardedBot) -> None:
    """By half of it, so that a price rise alone does not; released too early, it is held again."""
    assert await bot.sees(187) == set()
    found = await bot.sees(188)
    assert found == {"risk-position_size"}
    assert bot.state == "reducing"
    bot.release("risk-position_size")
    assert await bot.sees(188) == found
    bot.release("risk-position_size")
    assert await bot.sees(100) == set()


async def test_a_hold_that_could_not_be_stored_is_in_force_and_stored_later(
    small: GuardedBot, folder: Path
) -> None:
    """A disk that is away delays the word on it, not the word."""
    (folder / "held").rename(folder / "away")
    assert await small.sees(75) == {DAILY}
    (folder / "away").rename(folder / "held")
    assert Holds(folder / "held" / "holds.json").state.value == "active"
    await small.sees(75)
    assert Holds(folder / "held" / "holds.json").state.value == "reducing"


async def test_a_memory_that_cannot_be_read_halts(bot: GuardedBot, folder: Path) -> None:
    """It may have said that all is lost."""
    await bot.store.transact(lambda session: set_fact(session, "risk", ["nonsense"], 0.0))
    await bot.end()
    again = await GuardedBot(folder).begin()
    with pytest.raises(StoreError, match="damaged"):
        await again.guard.evaluate()
    assert {hold.id for hold in again.holds.holds} == {"risk-memory"}
    assert again.state == "halted"
    assert again.guard.unknown_reason() == NOT_EVALUATED
    await again.end()


async def test_orders_of_an_earlier_process_count_in_the_rate(
    bot: GuardedBot, folder: Path
) -> None:
    """A bot that crashes at each order gets no new allowance by it."""
    await bot.end()
    again = await GuardedBot(folder, replace(LIMITS, orders=2)).begin()
    await again.sees(100)
    assert sample(again.metrics, "trading_risk_limit_used_ratio", limit="order_rate") == 0.5
    await again.end()
