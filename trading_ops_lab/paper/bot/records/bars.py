"""Daily bars in the records: closed ones only, each stored once and then never changed."""

from collections.abc import Iterable
from decimal import Decimal

from trading_ops.botkit.records.sql import Session
from trading_ops.botkit.venue.adapter import Candle


def opened_days(session: Session, symbol: str) -> list[float]:
    """Return when the stored bars of a symbol opened, oldest first (seconds since the epoch)."""
    rows = session.execute(
        "SELECT opened_at FROM daily_bars WHERE symbol = ? ORDER BY opened_at", (symbol,)
    ).all()
    return [float(row[0]) for row in rows]


def add_bars(session: Session, symbol: str, bars: Iterable[Candle]) -> int:
    """Store bars that are not there yet; return how many there were."""
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
