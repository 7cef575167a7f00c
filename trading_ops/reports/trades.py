"""Figures of trades, from the events that bots reported."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from itertools import islice

from trading_ops.domain.bot_event import BotEvent, amount
from trading_ops.domain.report import TradeFigures, TradeLine, WatchedSymbol

SHOWN = 30
"""Maximum trades and signals that a report lists."""


def trade_figures(events: Iterable[BotEvent]) -> tuple[TradeFigures, ...]:
    """Return a line for each bot and currency. A value that no trade reported is None, not 0."""
    by_bot: dict[tuple[str, str], list[BotEvent]] = defaultdict(list)
    for one in events:
        by_bot[one.bot, str(one.data.get("currency", ""))].append(one)
    return tuple(_figures(*key, found) for key, found in sorted(by_bot.items()))


def closed_trades(events: Iterable[BotEvent]) -> tuple[TradeLine, ...]:
    """Return the newest trades with a profit or loss, oldest first; `events` are newest first."""
    closed = ((one, profit) for one in events if (profit := amount(one, "profit")) is not None)
    lines = [
        TradeLine(
            at=one.at,
            bot=one.bot,
            symbol=one.symbol,
            currency=str(one.data.get("currency", "")),
            profit=float(profit),
            fee=None if (fee := amount(one, "fee")) is None else float(fee),
        )
        for one, profit in islice(closed, SHOWN)
    ]
    return tuple(reversed(lines))


def watch_list(signals: Iterable[BotEvent]) -> tuple[WatchedSymbol, ...]:
    """Return the last signal of each bot and symbol; `signals` are newest first."""
    found: dict[tuple[str, str], WatchedSymbol] = {}
    for one in signals:
        line = WatchedSymbol(
            bot=one.bot, symbol=one.symbol, strategy=one.strategy, signal=one.summary, at=one.at
        )
        found.setdefault((one.bot, one.symbol), line)
    return tuple(islice(found.values(), SHOWN))


def _figures(bot: str, currency: str, found: list[BotEvent]) -> TradeFigures:
    profits = _amounts(found, "profit")
    gains = sum((one for one in profits if one > 0), Decimal(0))
    losses = -sum((one for one in profits if one < 0), Decimal(0))
    return TradeFigures(
        bot=bot,
        currency=currency,
        trades=len(found),
        closed=len(profits),
        win_ratio=sum(one > 0 for one in profits) / len(profits) if profits else None,
        profit=_total(profits),
        profit_factor=float(gains / losses) if losses else None,
        fees=_total(_amounts(found, "fee")),
        slippage=_total(_amounts(found, "slippage")),
    )


def _amounts(found: list[BotEvent], name: str) -> list[Decimal]:
    return [value for one in found if (value := amount(one, name)) is not None]


def _total(amounts: list[Decimal]) -> float | None:
    return float(sum(amounts)) if amounts else None
