"""`python -m trading_ops_lab.paper.bot.daily_bars --config FILE`: stores missing daily bars.

A small job beside the bot, for a timer or by hand: it asks the venue through the same seam as the
bot and keeps closed days in a database of its own, `daily_bars.db` in the state folder. It may run
as often as one likes; it asks for what lacks, and stores nothing twice. Bars are public, so it uses
no key and no nonces, and may run beside the bot.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from trading_ops import clock, logs
from trading_ops.botkit.records.driver import ThreadedDatabase
from trading_ops.botkit.records.sql import Database
from trading_ops.botkit.records.sqlite import SqliteDriver
from trading_ops.botkit.venue.adapter import VenueAdapter
from trading_ops.botkit.venue.errors import VenueDown, error_code
from trading_ops.errors import StoreError, TradingOpsError
from trading_ops_lab.paper.bot.brokerage.kraken import Kraken
from trading_ops_lab.paper.bot.config import BotConfig, load_config
from trading_ops_lab.paper.bot.records import bars

log = logs.get(__name__)

DAY = 86_400.0
FAILED = 1


@dataclass(frozen=True, kw_only=True)
class Update:
    """What became of one symbol."""

    symbol: str
    added: int
    lacking: tuple[float, ...]
    """Days between the first and the last closed one that the venue did not tell of."""


def missing(known: Iterable[float], *, first: float, now: float) -> list[float]:
    """Return the days from `first` on that are closed and not known; all in epoch seconds."""
    have = set(known)
    begin, today = int(first // DAY), int(now // DAY)
    return [day * DAY for day in range(begin, today) if day * DAY not in have]


async def update(
    venue: VenueAdapter, database: Database, symbol: str, *, now: Callable[[], float]
) -> Update:
    """Ask for the days of a symbol that lack, and store those that are closed.

    Raises:
        VenueDown: the venue did not tell, and nothing was stored.
        StoreError: it could not be stored.
    """
    known = await database.transact(lambda session: bars.opened_days(session, symbol))
    lacking = missing(known, first=known[0], now=now()) if known else []
    if known and not lacking:
        return Update(symbol=symbol, added=0, lacking=())
    # One second early: venues tell of what is after a moment, some without the moment itself.
    since = lacking[0] - 1 if lacking else 0.0
    try:
        told = await venue.candles(symbol, timeframe="1d", since=since)
        today = min(now(), await venue.server_time()) // DAY * DAY
    except Exception as error:
        raise VenueDown(
            f"daily bars of {symbol}: {error_code(error)}: {str(error)[:200]}"
        ) from error
    # By both clocks: a day that is still open for one of them may change.
    closed = [bar for bar in told if bar.opened_at < today]
    added = await database.transact(lambda session: bars.add_bars(session, symbol, closed))
    have = {*known, *(bar.opened_at for bar in closed)}
    gaps = missing(have, first=min(have), now=today) if have else []
    if gaps:
        log.warning("daily_bars_lack", symbol=symbol, days=len(gaps), first=gaps[0])
    return Update(symbol=symbol, added=added, lacking=tuple(gaps))


async def update_all(config: BotConfig) -> list[Update]:
    """Bring all symbols of a bot up to date.

    Raises:
        VenueDown: the venue did not tell; what was stored before stays.
        StoreError: the database cannot be opened or written.
    """
    await asyncio.to_thread(config.state_dir.mkdir, mode=0o700, parents=True, exist_ok=True)
    database = ThreadedDatabase(SqliteDriver(config.state_dir / "daily_bars.db"))
    venue = Kraken(
        address=config.venue_address,
        key="",
        secret="",
        timeout_seconds=config.request_timeout_seconds,
        issue_nonce=_no_nonces,
    )
    try:
        async with aiohttp.ClientSession() as session:
            venue.use_session(session)
            return [
                await update(venue, database, symbol, now=clock.timestamp)
                for symbol in config.symbols
            ]
    finally:
        await venue.close()
        await database.close()


def _no_nonces() -> int:
    raise VenueDown("daily bars are public: nothing is signed")


def main(argv: Sequence[str] | None = None) -> int:
    """Update, and print a line for each symbol; return 1 when it could not be done."""
    parser = argparse.ArgumentParser(
        prog="trading_ops_lab.paper.bot.daily_bars", description=__doc__
    )
    parser.add_argument("--config", type=Path, required=True, help="the bot's JSON file")
    arguments = parser.parse_args(argv)
    try:
        updates = asyncio.run(update_all(load_config(arguments.config)))
    except (TradingOpsError, StoreError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - one sentence for whoever started it
        return FAILED
    for one in updates:
        print(f"{one.symbol}: days stored {one.added}, lacking {len(one.lacking)}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
