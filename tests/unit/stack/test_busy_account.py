"""Transfers that keep the bot asking: money goes on moving, and the journal tells how it rests."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

import pytest

from tests.waiting import eventually
from trading_ops.clients.agent import CommandAnswer
from trading_ops.domain.target import Target
from trading_ops.errors import Unreachable
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults import busy_account
from trading_ops_lab.faults.busy_account import AMOUNT, ASSET, WOUND, BusyAccount
from trading_ops_lab.faults.venue_faults import JournalEntry

ALPHA = cast(Target, type("Bot", (), {"name": "alpha", "venue": "paper"})())


class Venue:
    """A venue that counts what is moved; it is its own scene, and the bot."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.moved: list[Decimal] = []
        self.entries: list[JournalEntry] = []
        self.away = False
        self.ordered: list[tuple[str, Mapping[str, str]]] = []

    @property
    def directory(self) -> "Venue":
        """Return itself."""
        return self

    def bot(self, bot: Target) -> "Venue":
        """Return itself."""
        assert bot is ALPHA
        return self

    async def command(self, name: str, params: Mapping[str, str], **_: Any) -> CommandAnswer:
        """Take an order to the bot."""
        self.ordered.append((name, params))
        return CommandAnswer(outcome="succeeded", detail="")

    def faults(self, bot: Target) -> "Venue":
        """Return itself."""
        assert bot is ALPHA
        return self

    async def deposit(self, account: str, asset: str, amount: Decimal) -> None:
        """Move money, if it is there."""
        assert (account, asset) == ("alpha", ASSET)
        self.moved.append(amount)
        if self.away:
            raise Unreachable("away")

    async def journal(self, *, since: float) -> list[JournalEntry]:
        """Tell what happened since then."""
        return [entry for entry in self.entries if entry.time >= since]

    def wound(self, *times: float, account: str = "alpha", event: str = WOUND) -> None:
        """Write down that a switch was wound at these times."""
        self.entries += [JournalEntry(0, time, event, account) for time in times]


@pytest.fixture
def venue() -> Venue:
    return Venue()


def scene(venue: Venue) -> Scene:
    return cast(Scene, venue)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes of transfers in no time."""
    monkeypatch.setattr(busy_account, "EVERY_SECONDS", 0.001)


@pytest.mark.usefixtures("often")
async def test_money_moves_until_it_is_cleaned_up(venue: Venue) -> None:
    """In and out again, whatever becomes of one transfer; no timer ends it."""
    fault = BusyAccount()
    key = await fault.inject(scene(venue), ALPHA)
    await eventually(lambda: len(venue.moved) > 4)
    assert venue.moved[:4] == [AMOUNT, -AMOUNT, AMOUNT, -AMOUNT]
    venue.away = True
    before = len(venue.moved)
    await eventually(lambda: len(venue.moved) > before + 2)
    await fault.clean_up(scene(venue), ALPHA, key)
    assert venue.ordered == [("throttle_load", {"seconds": "0"})]
    moved = len(venue.moved)
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(venue.moved) == moved


async def test_a_venue_that_is_away_is_no_fault_injected(venue: Venue) -> None:
    """Nothing is started of which the drill knows nothing."""
    venue.away = True
    with pytest.raises(Unreachable):
        await BusyAccount().inject(scene(venue), ALPHA)
    assert len(venue.moved) == 1


@pytest.mark.parametrize(
    ("times", "seen"),
    [
        ((), False),
        ((100.0,), False),
        ((100.0, 106.0, 112.0), False),  # as it winds when nothing is stretched
        ((100.0, 106.0, 114.0), True),
        ((100.0, 108.0, 114.0), False),  # it was, and is no more
    ],
)
async def test_the_witness_is_how_the_switch_is_wound(
    venue: Venue, times: tuple[float, ...], *, seen: bool
) -> None:
    """By the bot itself, and since the fault."""
    venue.wound(10.0, 90.0)
    venue.wound(*times)
    venue.wound(120.0, account="beta")
    venue.wound(130.0, event="dead_man_disarmed")
    evidence = await BusyAccount().evidence(scene(venue), ALPHA, 99.0)
    assert (evidence is not None) == seen
    assert evidence is None or "after 8 s" in evidence
