"""The daily-bar job: closed days, each once, gaps found; over the seam and as a command."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.service.bot.conftest import Venue
from tests.service.botkit.conftest import SYMBOL
from trading_ops.botkit.records.driver import ThreadedDatabase
from trading_ops.botkit.records.sql import Database
from trading_ops.botkit.records.sqlite import SqliteDriver
from trading_ops.botkit.venue.adapter import Candle, VenueAdapter
from trading_ops.botkit.venue.errors import VenueDown
from trading_ops_lab.paper.bot import daily_bars as bars
from trading_ops_lab.paper.bot.daily_bars import DAY, Update, missing, update

TODAY = 20_000 * DAY
NOON = TODAY + DAY / 2


class Market:
    """Knows some days; the last of them is open."""

    def __init__(self, *days: int) -> None:
        self.days = list(days)
        self.clock = NOON
        self.asked: list[float] = []
        self.close = Decimal(101)
        self.fails = False

    async def server_time(self) -> float:
        return self.clock

    async def candles(self, symbol: str, *, timeframe: str, since: float) -> list[Candle]:
        assert (symbol, timeframe) == (SYMBOL, "1d")
        self.asked.append(since)
        if self.fails:
            raise ConnectionError("no")
        return [self._bar(day) for day in self.days if TODAY + day * DAY > since]

    def _bar(self, day: int) -> Candle:
        at = TODAY + day * DAY
        price = Decimal("100.10")
        return Candle(
            opened_at=at, open=price, high=self.close, low=price, close=self.close, volume=price
        )


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = ThreadedDatabase(SqliteDriver(tmp_path / "bars.db"))
    yield database
    await database.close()


async def run(market: Market, database: Database, now: float = NOON) -> Update:
    return await update(cast(VenueAdapter, market), database, SYMBOL, now=lambda: now)


async def stored(database: Database) -> list[int]:
    known = await database.transact(lambda session: bars.opened_days(session, SYMBOL))
    return [round((at - TODAY) / DAY) for at in known]


async def test_closed_days_are_stored_once_and_the_open_one_never(database: Database) -> None:
    market = Market(-3, -2, -1, 0)
    assert await run(market, database) == Update(symbol=SYMBOL, added=3, lacking=())
    assert await stored(database) == [-3, -2, -1]
    assert (await run(market, database)).added == 0
    assert len(market.asked) == 1, "nothing lacked, so nothing was asked"
    (bar, *_) = await database.transact(lambda session: bars.bars_of(session, SYMBOL))
    assert str(bar.open) == "100.10", "amounts are kept to the last digit"


async def test_the_next_day_is_asked_for_and_earlier_ones_stay(database: Database) -> None:
    market = Market(-1, 0)
    await run(market, database)
    market.days, market.clock, market.close = [-1, 0, 1], NOON + DAY, Decimal(7)
    assert (await run(market, database, now=NOON + DAY)).added == 1
    assert market.asked[-1] == TODAY - 1
    first, second = await database.transact(lambda session: bars.bars_of(session, SYMBOL))
    assert (first.close, second.close) == (Decimal(101), Decimal(7))


async def test_gaps_are_reported_and_filled_when_the_venue_has_them(database: Database) -> None:
    market = Market(-5, -2, -1, 0)
    found = await run(market, database)
    assert found.lacking == (TODAY - 4 * DAY, TODAY - 3 * DAY)
    market.days = [-5, -4, -2, -1, 0]
    again = await run(market, database)
    assert (again.added, again.lacking) == (1, (TODAY - 3 * DAY,))
    assert await stored(database) == [-5, -4, -2, -1]


@pytest.mark.parametrize(("ours", "theirs"), [(DAY, 0.0), (0.0, DAY)])
async def test_a_day_that_is_open_for_one_clock_is_not_stored(
    database: Database, ours: float, theirs: float
) -> None:
    """Whichever of the two clocks is ahead."""
    market = Market(-1, 0)
    market.clock = NOON + theirs
    await run(market, database, now=NOON + ours)
    assert await stored(database) == [-1]


async def test_a_venue_that_fails_changes_nothing(database: Database) -> None:
    market = Market(-1, 0)
    market.fails = True
    with pytest.raises(VenueDown, match="daily bars of BTC/USD"):
        await run(market, database)
    assert await stored(database) == []


@given(st.sets(st.integers(-30, 0)), st.floats(0, DAY - 1))
def test_what_is_missing_and_what_is_known_are_all_closed_days(
    known: set[int], second: float
) -> None:
    days = {TODAY + day * DAY for day in known}
    first, now = TODAY - 30 * DAY, TODAY + second
    lacking = missing(days, first=first, now=now)
    assert lacking == sorted(lacking)
    closed = {TODAY + day * DAY for day in range(-30, 0)}
    assert set(lacking) | (days & closed) == closed
    assert not set(lacking) & days


def test_as_a_command_beside_the_real_venue(config_file: Path, venue: Venue) -> None:
    """What the venue has of closed days is stored once; an outage is reported in one sentence."""

    def command() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "trading_ops_lab.paper.bot.daily_bars", "--config", config_file],
            capture_output=True,
            text=True,
            check=False,
        )

    good = command()
    assert (good.returncode, good.stderr) == (0, "")
    first = re.fullmatch(rf"{SYMBOL}: days stored (\d+), lacking 0", good.stdout.splitlines()[0])
    assert first is not None
    assert int(first[1]) > 0
    assert command().stdout.splitlines()[0] == f"{SYMBOL}: days stored 0, lacking 0"
    for file in config_file.parent.glob("bot/daily_bars.db*"):
        file.unlink()
    venue.stop()
    bad = command()
    assert bad.returncode == 1
    assert bad.stderr.startswith(f"daily bars of {SYMBOL}: ")
    assert "Traceback" not in bad.stderr
