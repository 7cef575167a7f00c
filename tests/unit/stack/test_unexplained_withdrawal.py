"""Money that is missing: who saw that nothing was done about it, and what an operator does then."""

import os
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from trading_ops.clients.prometheus import Sample
from trading_ops.clients.reconciler_views import HoldView, TargetView
from trading_ops.domain.target import Target
from trading_ops.errors import StackError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults import unexplained_withdrawal as unbooked
from trading_ops_lab.faults.unexplained_withdrawal import UnexplainedWithdrawal
from trading_ops_lab.faults.venue_faults import JournalEntry

AT = datetime(2126, 5, 4, tzinfo=UTC)
LATER = AT.timestamp() + 1
ALPHA = cast(Target, SimpleNamespace(name="alpha", venue="paper"))


def hold(name: str, at: datetime = AT) -> HoldView:
    return HoldView(id=name, state="halted", owner="recovery", reason="", at=at)


OWN, OLD = hold("recovery-1"), hold("recovery-0", AT - timedelta(days=40_000))
PERSONS = hold("ada")


class World:
    """Everything that the fault asks, in one."""

    def __init__(self, *holds: HoldView, orders: tuple[str, ...] = (), obeys: bool = True) -> None:
        """Take the bot's holds, and whose orders came after them."""
        self.holds = list(holds)
        self.orders = orders
        self.obeys = obeys
        self.reconciler = self.directory = self.prometheus = self
        self.positions = ["SOL/USD", "BTC/USD"]
        self.done: list[object] = []

    def faults(self, _bot: Target) -> "World":
        """Return the venue."""
        return self

    def bot(self, _bot: Target) -> "World":
        """Return the agent."""
        return self

    def unit(self, _bot: Target) -> "World":
        """Return the service manager."""
        return self

    async def query(self, _expression: str) -> list[Sample]:
        """Tell of what the bot holds."""
        return [Sample(labels={"symbol": symbol}, value=1.0) for symbol in self.positions]

    async def deposit(self, account: str, asset: str, amount: object, *, booked: bool) -> None:
        """Take the money."""
        self.done.append((account, asset, str(amount), booked))

    async def command(self, name: str, _params: object, **_how: object) -> object:
        """Carry it out, or not."""
        self.done.append(name)
        return SimpleNamespace(succeeded=self.obeys or name == "accept_venue", detail="no")

    async def process(self) -> object:
        """Return this process as the bot's."""
        return SimpleNamespace(pid=os.getpid())

    async def targets(self) -> list[TargetView]:
        """Return two bots, of which only one concerns us."""
        return [TargetView(name="alpha", holds=self.holds), TargetView(name="beta", holds=[OWN])]

    async def release(self, target: str, *, holds: list[str], **_who: str) -> None:
        """Release them."""
        self.done.append((target, holds))

    async def journal(self, *, since: float) -> list[JournalEntry]:
        """Tell of the orders."""
        assert since == AT.timestamp()
        return [
            JournalEntry(seq=1, time=LATER, event="order_added", account=order)
            for order in self.orders
        ]


def scene_of(world: World) -> Scene:
    return cast(Scene, cast(Any, world))


async def test_it_is_taken_and_the_bot_looks_and_a_person_settles_it() -> None:
    """The venue's word is taken before the bot's own hold goes; an operator's own hold stays."""
    world, fault = World(OLD, OWN, PERSONS), UnexplainedWithdrawal()
    await fault.ready(scene_of(world), ALPHA)
    key = await fault.inject(scene_of(world), ALPHA)
    await fault.clean_up(scene_of(world), ALPHA, key)
    taken = ("alpha", "XBT", "-0.00005", False)
    released = ("alpha", [OWN.id])
    assert world.done == [taken, "restart_component", "accept_venue", released]


async def test_a_bot_that_does_not_look_is_left_as_it_was() -> None:
    """The drill does not start, and nothing is left for the next one."""
    world, fault = World(obeys=False), UnexplainedWithdrawal()
    await fault.ready(scene_of(world), ALPHA)
    with pytest.raises(StackError, match="alpha did not carry out restart_component: no"):
        await fault.inject(scene_of(world), ALPHA)
    assert world.done[-1] == "accept_venue"


async def test_of_what_the_bot_does_not_hold_nothing_can_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A balance of what it never had is no position of its own; it is waited for, and said."""
    monkeypatch.setattr(unbooked, "HOLDS_SECONDS", 0.2)
    world = World()
    world.positions = ["SOL/USD"]
    with pytest.raises(StackError, match="no position"):
        await UnexplainedWithdrawal().ready(scene_of(world), ALPHA)
    assert world.done == []


@pytest.mark.parametrize(
    ("holds", "orders", "replaced", "seen"),
    [
        ([OWN], (), False, True),
        ([OWN], ("manual",), False, True),
        ([OWN], ("alpha",), False, False),
        ([OWN], (), True, False),
        ([PERSONS], (), False, False),
        ([], (), False, False),
    ],
)
async def test_nothing_else_was_done_or_no_one_saw_it(
    holds: list[HoldView],
    orders: tuple[str, ...],
    replaced: bool,
    seen: bool,
) -> None:
    """A bot that trades on, that was replaced, or that does not hold itself is no end."""
    started = psutil.Process(os.getpid()).create_time()
    since = started - 1 if replaced else started + 1
    world = World(*holds, orders=orders)
    evidence = await UnexplainedWithdrawal().evidence(scene_of(world), ALPHA, since)
    assert (evidence is not None) == seen
