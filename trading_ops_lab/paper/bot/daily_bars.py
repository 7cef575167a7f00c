"""`python -m trading_ops_lab.paper.bot.daily_bars --config FILE`: stores missing daily bars.

A small job for a timer or the command line. It asks the venue through the same adapter as the bot
and stores closed days in a database of its own, `daily_bars.db` in the state folder. It asks only
for missing bars and stores none twice, so it may run as often as needed. Bars are public: it uses
no key and no nonces, and may run beside the bot.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import aiohttp

from trading_ops import clock, logs
from trading_ops.botkit.records.driver import ThreadedDatabase
from trading_ops.botkit.records.sql import Database, Session
from trading_ops.botkit.records.sqlite import SqliteDriver
from trading_ops.botkit.venue.adapter import Candle, VenueAdapter
from trading_ops.botkit.venue.errors import VenueDown, error_code
from trading_ops.errors import StoreError, TradingOpsError
from trading_ops_lab.paper.bot.brokerage.kraken import Kraken
from trading_ops_lab.paper.bot.config import BotConfig, load_config

log = logs.get(__name__)

DAY = 86_400.0
FAILED = 1


def opened_days(session: Session, symbol: str) -> list[float]:
    """Return the opening times of the stored bars, oldest first, in seconds since the epoch."""
    rows = session.execute(
        "SELECT opened_at FROM daily_bars WHERE symbol = ? ORDER BY opened_at", (symbol,)
    ).all()
    return [float(row[0]) for row in rows]


def add_bars(session: Session, symbol: str, bars: Iterable[Candle]) -> int:
    """Store closed bars that are not stored yet; return how many were added."""
    added = 0
    for bar in bars:
        amounts = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        added += session.execute(
            "INSERT INTO daily_bars (symbol, opened_at, open, high, low, close, volume)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (symbol, opened_at) DO NOTHING",
            (symbol, bar.opened_at, *(str(amount) for amount in amounts)),
        ).count
    return added


def bars_of(session: Session, symbol: str) -> list[Candle]:
    """Return the stored bars of a symbol, oldest first."""
    rows = session.execute(
        "SELECT opened_at, open, high, low, close, volume FROM daily_bars WHERE symbol = ?"
        " ORDER BY opened_at",
        (symbol,),
    ).all()
    return [
        Candle(
            opened_at=float(row[0]),
            open=Decimal(row[1]),
            high=Decimal(row[2]),
            low=Decimal(row[3]),
            close=Decimal(row[4]),
            volume=Decimal(row[5]),
        )
        for row in rows
    ]


@dataclass(frozen=True, kw_only=True)
class Update:
    """The result for one symbol."""

    symbol: str
    added: int
    lacking: tuple[float, ...]
    """Days between the first and the last closed one that the venue did not return."""


def missing(known: Iterable[float], *, first: float, now: float) -> list[float]:
    """Return the closed days from `first` that are missing; all in seconds since the epoch."""
    have = set(known)
    begin, today = int(first // DAY), int(now // DAY)
    return [day * DAY for day in range(begin, today) if day * DAY not in have]


async def update(
    venue: VenueAdapter, database: Database, symbol: str, *, now: Callable[[], float]
) -> Update:
    """Request the missing days of a symbol, and store the closed ones.

    Raises:
        VenueDown: the venue did not answer; nothing was stored.
        StoreError: it could not be stored.
    """
    known = await database.transact(lambda session: opened_days(session, symbol))
    lacking = missing(known, first=known[0], now=now()) if known else []
    if known and not lacking:
        return Update(symbol=symbol, added=0, lacking=())
    # One second early: some venues exclude the start itself.
    since = lacking[0] - 1 if lacking else 0.0
    try:
        found = await venue.candles(symbol, timeframe="1d", since=since)
        today = min(now(), await venue.server_time()) // DAY * DAY
    except Exception as error:
        raise VenueDown(
            f"daily bars of {symbol}: {error_code(error)}: {str(error)[:200]}"
        ) from error
    # By both clocks: a day that is open for one of them may still change.
    closed = [bar for bar in found if bar.opened_at < today]
    added = await database.transact(lambda session: add_bars(session, symbol, closed))
    have = {*known, *(bar.opened_at for bar in closed)}
    gaps = missing(have, first=min(have), now=today) if have else []
    if gaps:
        log.warning("daily_bars_missing", symbol=symbol, days=len(gaps), first=gaps[0])
    return Update(symbol=symbol, added=added, lacking=tuple(gaps))


async def update_all(config: BotConfig) -> list[Update]:
    """Update all symbols of a bot.

    Raises:
        VenueDown: the venue did not answer; bars stored before are kept.
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
    """Update, and print a line per symbol; return 1 if it failed."""
    parser = argparse.ArgumentParser(
        prog="trading_ops_lab.paper.bot.daily_bars", description=__doc__
    )
    parser.add_argument("--config", type=Path, required=True, help="the bot's JSON file")
    arguments = parser.parse_args(argv)
    try:
        updates = asyncio.run(update_all(load_config(arguments.config)))
    except (TradingOpsError, StoreError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the error message for the caller
        return FAILED
    for stored in updates:
        print(f"{stored.symbol}: days stored {stored.added}, lacking {len(stored.lacking)}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
