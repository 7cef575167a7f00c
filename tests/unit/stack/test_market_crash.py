"""The crash that stops the fleet: how much must be bought, who saw the halt, and the way back."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import pytest

from tests.unit.stack.timelines import StoredTimelines, attempt, timeline
from trading_ops.clients.prometheus import Sample
from trading_ops.clients.reconciler_views import HoldView, TargetView
from trading_ops.domain.target import Target
from trading_ops.errors import StackError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.market_crash import (
    ALERT,
    BASE,
    FALL_PERCENT,
    MarketCrash,
    worth_to_lose,
)
from trading_ops_lab.faults.venue_faults import JournalEntry

AT, LONG_AGO = datetime(2126, 5, 4, tzinfo=UTC), datetime(2020, 5, 4, tzinfo=UTC)
ALPHA = cast(Target, type("Bot", (), {"name": "alpha", "venue": "paper"})())
PRICE = Decimal(3000)
NEARLY = Decimal("1e-9")


class Venue:
    """A venue without fees, whose bot sells all that is bought manually as soon as it looks."""

    def __init__(self) -> None:
        """Start with ten coins and no money."""
        self.coins, self.money = Decimal(10), Decimal(0)
        self.fallen = False
        self.sells = True
        self.done: list[str] = []
        self.entries: list[JournalEntry] = []

    @property
    def price(self) -> Decimal:
        """Return what a coin costs."""
        return PRICE * (100 - FALL_PERCENT) / 100 if self.fallen else PRICE

    async def inject(self, kind: str, **details: Any) -> str:
        """Let the price fall."""
        assert (kind, details["percent"]) == ("price_jump", -FALL_PERCENT)
        self.done.append("fall")
        self.fallen = True
        return "jump"

    async def clear(self, fault: str) -> None:
        """Put the price back."""
        assert fault == "jump"
        self.done.append("rise")
        self.fallen = False

    async def account(self, name: str) -> Mapping[str, Any]:
        """Tell the balances."""
        assert name == "alpha"
        return {"balances": {BASE: str(self.coins)}}

    async def trade(self, account: str, **order: str) -> Mapping[str, Any]:
        """Trade at the price of now."""
        assert account == "alpha"
        volume = Decimal(order["volume"]) / (self.price if "oflags" in order else 1)
        self.done.append(order["type"])
        self.move(volume if order["type"] == "buy" else -volume)
        return {"vol_exec": str(volume)}

    def move(self, coins: Decimal) -> None:
        """Change coins for money, or the other way round."""
        self.coins += coins
        self.money -= coins * self.price

    async def journal(self, *, since: float) -> list[JournalEntry]:
        """Tell what happened."""
        return [recorded for recorded in self.entries if recorded.time >= since]


class World:
    """Everything that the fault asks; the directory, the agent and the session are itself."""

    def __init__(self) -> None:
        """Start with nothing lost."""
        self.venue = Venue()
        self.left, self.drawdown = 20.0, 0.0
        self.unevaluated = 0
        self.holds = [
            HoldView(id="old", state="halted", owner="reconciler", reason="", at=LONG_AGO),
            HoldView(id="ada", state="halted", owner="ada", reason="", at=AT),
            HoldView(id="fleet", state="halted", owner="reconciler", reason="", at=AT),
            HoldView(id="risk-daily_loss", state="reducing", owner="risk", reason="", at=AT),
        ]
        self.released: list[str] = []
        self.registry = self.directory = self.prometheus = self.session = self.reconciler = self
        self.address = "127.0.0.1:1"

    def faults(self, _bot: Target) -> Venue:
        """Return the venue."""
        return self.venue

    def find(self, _name: str) -> "World":
        """Return the venue's entry."""
        return self

    def bot(self, _target: Target) -> "World":
        """Return the agent."""
        return self

    async def command(self, _name: str, _params: object, **_how: object) -> object:
        """Look; who does so in the crash sells what it finds."""
        if self.venue.fallen and self.venue.sells:
            self.venue.move(Decimal(10) - self.venue.coins)
        return type("Answer", (), {"succeeded": True})()

    async def query(self, expression: str) -> list[Sample]:
        """Tell what is left of the fleet's limit, or the bot's drawdown."""
        if self.unevaluated:
            self.unevaluated -= 1
            return []
        value = self.drawdown if "drawdown" in expression else self.left
        return [Sample(labels={}, value=value)]

    @contextlib.asynccontextmanager
    async def get(self, _url: str, **_how: object) -> AsyncIterator["World"]:
        """Answer as the venue's ticker."""
        yield self

    async def read(self) -> bytes:
        """Tell the price."""
        return json.dumps({"result": {"XETHZUSD": {"b": [str(self.venue.price)]}}}).encode()

    async def targets(self) -> list[TargetView]:
        """Tell the holds."""
        return [TargetView(name="alpha", holds=self.holds)]

    async def release(self, _target: str, *, holds: list[str], **_who: str) -> None:
        """Release them."""
        self.released += holds


def scene_of(world: object) -> Scene:
    return cast(Scene, world)


@pytest.mark.parametrize(
    ("left", "drawdown", "worth"),
    [(20.0, 0.0, 77), (5.0, 15.0, 27), (20.0, 4.9, 77), (-1.0, 20.0, 7)],
)
async def test_as_much_is_bought_as_the_fall_must_lose(
    left: float, drawdown: float, worth: int
) -> None:
    """What is left of the limit and a little more, so that no wandering price spares the fleet."""
    world = World()
    world.left, world.drawdown = left, drawdown
    assert await worth_to_lose(scene_of(world), ALPHA) == worth


async def test_a_bot_that_would_halt_itself_first_is_not_drilled() -> None:
    """Its own limit would end the alert, and nothing of the fleet would be proven."""
    world = World()
    world.drawdown = 6.0
    with pytest.raises(StackError, match=r"23\.00.* halts itself at 22\.00"):
        await worth_to_lose(scene_of(world), ALPHA)


async def test_a_rule_not_evaluated_yet_is_awaited() -> None:
    """Right after the start the bot is up before the rules have their first result."""
    world = World()
    world.unevaluated = 2
    assert await worth_to_lose(scene_of(world), ALPHA) == 77


@pytest.mark.parametrize("sells", [True, False])
async def test_the_way_back_costs_nothing_but_fees(sells: bool) -> None:
    """Whether the bot sold in the crash or not; and only what the drill led to is released."""
    world, fault = World(), MarketCrash()
    world.venue.sells = sells
    key = await fault.inject(scene_of(world), ALPHA)
    lost = Decimal("23.1") if sells else Decimal(77)
    assert abs(world.venue.money + lost) < NEARLY
    await fault.clean_up(scene_of(world), ALPHA, key)
    bought_back = ["buy"] if sells else []
    assert world.venue.done == ["buy", "fall", *bought_back, "rise", "sell"]
    assert abs(world.venue.money) < NEARLY
    assert abs(world.venue.coins - 10) < NEARLY
    assert world.released == ["fleet", "risk-daily_loss"]


HALTED = attempt("halt_trading", "safe_direction")


def entry(event: str, seconds: float, account: str = "alpha") -> JournalEntry:
    """Return an entry so many seconds after the halt."""
    return JournalEntry(seq=1, time=HALTED_AT.timestamp() + seconds, event=event, account=account)


HALTED_AT = cast(datetime, HALTED.ended_at)
ALIVE = [entry("dead_man_armed", 3), entry("dead_man_armed", 8)]


@pytest.mark.parametrize(
    ("attempts", "more", "seen"),
    [
        ([HALTED], [], "the venue's journal has 2 requests of the halted bot, and no order"),
        (
            [HALTED],
            [entry("order_added", -1), entry("order_added", 2, "manual")],
            "the venue's journal has 2 requests of the halted bot, and no order",
        ),
        ([HALTED], [entry("order_added", 1)], None),
        ([], [], None),
    ],
)
async def test_the_journal_must_show_a_bot_that_runs_and_orders_nothing(
    attempts: list[Any], more: list[JournalEntry], seen: str | None
) -> None:
    """An order after the halt, or no halt, is no recovery, whatever the incident says."""
    world = World()
    world.venue.entries = [*ALIVE, *more]
    world.reconciler = cast(Any, StoredTimelines([timeline(ALERT, *attempts)]))
    assert await MarketCrash().evidence(scene_of(world), ALPHA, 0.0) == seen
