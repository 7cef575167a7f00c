"""Stops of a bot that may send nothing: they stay, since nothing could be placed instead."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import pytest

from tests.service.bot.order_harness import Desk
from tests.service.botkit.conftest import SYMBOL, sample
from trading_ops import clock
from trading_ops.agent import TradingState
from trading_ops.botkit.orders.checks import deny_while
from trading_ops.botkit.orders.market import Quote
from trading_ops.botkit.orders.order import OrderStatus, Position, Purpose
from trading_ops.botkit.risk.checks import RiskInputs, limit_checks
from trading_ops.botkit.risk.limits import OrderRate
from trading_ops.botkit.risk.settings import RiskLimits
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.trading.strategy import Target

pytestmark = pytest.mark.processes

ETHER = "ETH/USD"
LIMITS = RiskLimits(
    position_size=Decimal(1000), exposure=Decimal(1000), orders=60, orders_seconds=3600
)
MOST_EXITS = 120
"""The order rate at which nothing is sent any more, with `LIMITS`."""

STATES = {
    "halted": "trading_halted",
    "paper": "paper_mode",
    "recovering": "recovering",
    "not leading": "not_leader",
    "stopping": "stopping",
    "rate": "risk_order_rate",
    "stale": "market_data_stale",
}
denying = pytest.mark.parametrize(("state", "code"), STATES.items(), ids=list(STATES))


@dataclass
class Stops:
    """A desk whose positions are covered by stops, with all checks that a bot has."""

    desk: Desk
    state: str = ""
    rate: OrderRate = field(default_factory=lambda: OrderRate(LIMITS.orders_seconds))

    def __post_init__(self) -> None:
        inputs = RiskInputs(
            holdings=lambda: (), unknown_reason=lambda: None, balance_age=lambda: 0.0
        )
        self.desk.orders._stop_percent = Decimal(5)
        self.desk.orders._checks = (
            deny_while("not_leader", "another leads", lambda: self.state == "not leading"),
            deny_while("recovering", "not compared yet", lambda: self.state == "recovering"),
            *self.desk.orders._checks,
            deny_while("paper_mode", "in paper mode", lambda: self.state == "paper"),
            *limit_checks(LIMITS, inputs, self.rate, self.desk.metrics),
        )

    def enter(self, state: str) -> None:
        """Let one state start and end all others."""
        self.state = state
        self.desk.stopping = state == "stopping"
        self.desk.state = TradingState(state if state in {"halted", "reducing"} else "active")
        self.rate._at.clear()
        if state == "rate":
            self.use(MOST_EXITS)
        at = 0.0 if state == "stale" else clock.timestamp()
        for symbol in self.desk.quotes:
            self.desk.quotes[symbol] = Quote(bid=Decimal(1000), ask=Decimal(1001), at=at)

    def use(self, orders: int) -> None:
        for _ in range(orders):
            self.rate.add(clock.timestamp())

    async def trade(self, target: Target, passes: int = 1) -> None:
        for _ in range(passes):
            await self.desk.orders.ask(dict.fromkeys(self.desk.quotes, target), within=10)

    async def buy_a_quarter(self) -> None:
        """Have a quarter of each entry filled, and a stop for it."""
        await self.trade(Target.LONG)
        for venue_id, entry in self.desk.venue.open.items():
            part = entry.quantity / 4
            self.desk.venue.open[venue_id] = replace(entry, filled=part, cost=part * 1000)
        await self.trade(Target.LONG)

    def fill_the_rest(self) -> None:
        for entry in self.desk.book.open_orders():
            if entry.purpose is Purpose.STRATEGY:
                assert entry.venue_id is not None
                self.desk.venue.end(entry.venue_id, OrderStatus.FILLED, str(entry.quantity))

    @property
    def resting(self) -> list[tuple[str, Decimal]]:
        """The stops at the venue, with their sizes."""
        return [
            (order.symbol, order.remaining)
            for order in self.desk.book.open_orders()
            if order.purpose is Purpose.PROTECTION and order.venue_id in self.desk.venue.open
        ]

    @property
    def held(self) -> Decimal:
        return self.desk.book.position(SYMBOL).quantity


@pytest.fixture
async def stops(metrics: BotMetrics, tmp_path: Path) -> AsyncIterator[Stops]:
    desk = Desk(metrics, tmp_path / "bot.db")
    await desk.start()
    yield Stops(desk)
    await desk.supervisor.stop()


@denying
async def test_a_stop_that_is_too_small_stays_while_none_can_be_placed(
    stops: Stops, metrics: BotMetrics, state: str, code: str
) -> None:
    """A part of the position is covered, which is more than none; all of it when that has ended."""
    await stops.buy_a_quarter()
    small = stops.resting
    assert small == [(SYMBOL, stops.held)]
    stops.enter(state)
    stops.fill_the_rest()
    await stops.trade(Target.LONG, passes=3)
    assert (stops.desk.venue.cancelled, stops.resting) == ([], small)
    assert sample(metrics, "trading_order_denials_total", code=code) == 3
    stops.enter("")
    await stops.trade(Target.LONG, passes=2)
    assert small[0][1] < stops.held
    assert stops.resting == [(SYMBOL, stops.held)]


@denying
async def test_a_stop_stays_while_no_exit_can_be_sent(
    stops: Stops, metrics: BotMetrics, state: str, code: str
) -> None:
    """The strategy wants out: the stop goes when the exit can be sent, and not before."""
    await stops.buy_a_quarter()
    stops.fill_the_rest()
    await stops.trade(Target.LONG, passes=2)
    whole = stops.resting
    done = list(stops.desk.venue.cancelled)
    stops.enter(state)
    await stops.trade(Target.FLAT, passes=3)
    assert (stops.desk.venue.cancelled, stops.resting) == (done, whole)
    assert sample(metrics, "trading_order_denials_total", code=code) == 3
    stops.enter("")
    await stops.trade(Target.FLAT, passes=2)
    assert stops.resting == []
    assert stops.desk.venue.submitted[-1].purpose is Purpose.STRATEGY
    assert stops.desk.venue.submitted[-1].quantity == stops.held


@denying
async def test_a_stop_for_more_than_is_held_goes_in_any_state(
    stops: Stops, metrics: BotMetrics, state: str, code: str
) -> None:
    """What it would sell beyond the position is not the bot's; the next one fits."""
    await stops.buy_a_quarter()
    stops.fill_the_rest()
    await stops.trade(Target.LONG, passes=2)
    stops.desk.book.positions[SYMBOL] = Position(quantity=stops.held / 2, cost=Decimal(25))
    sent = len(stops.desk.venue.submitted)
    stops.enter(state)
    await stops.trade(Target.LONG, passes=3)
    assert stops.resting == []
    assert stops.desk.venue.open == {}
    assert len(stops.desk.venue.submitted) == sent
    assert sample(metrics, "trading_order_denials_total", code=code) == 2
    stops.enter("")
    await stops.trade(Target.LONG)
    assert stops.resting == [(SYMBOL, stops.desk.broker.client.rules(SYMBOL).quantity(stops.held))]


async def test_a_bot_that_may_only_reduce_covers_all_of_its_position(stops: Stops) -> None:
    """A stop can only shrink the position, so a larger one may be placed."""
    await stops.buy_a_quarter()
    stops.enter("reducing")
    stops.fill_the_rest()
    await stops.trade(Target.LONG, passes=2)
    assert stops.resting == [(SYMBOL, stops.held)]


async def test_an_order_for_which_a_stop_makes_way_counts_once(stops: Stops) -> None:
    """In the order rate: the entry, two stops and the exit, as they were sent."""
    await stops.buy_a_quarter()
    stops.fill_the_rest()
    await stops.trade(Target.LONG, passes=2)
    await stops.trade(Target.FLAT, passes=2)
    assert len(stops.desk.venue.submitted) == 4
    assert stops.rate.count(clock.timestamp()) == 4


async def test_two_stops_do_not_make_way_for_the_same_room_in_the_rate(stops: Stops) -> None:
    """The room that one was promised is not promised to another symbol too."""
    stops.desk.quotes[ETHER] = stops.desk.quotes[SYMBOL]
    await stops.buy_a_quarter()
    assert [symbol for symbol, _ in stops.resting] == [SYMBOL, ETHER]
    part = stops.held
    stops.use(MOST_EXITS - 1 - stops.rate.count(clock.timestamp()))
    stops.fill_the_rest()
    await stops.trade(Target.LONG, passes=4)
    assert sorted(stops.resting) == [(SYMBOL, stops.held), (ETHER, part)]
