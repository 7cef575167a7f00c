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
    for event in events:
        by_bot[event.bot, str(event.data.get("currency", ""))].append(event)
    return tuple(_figures(*key, found) for key, found in sorted(by_bot.items()))


def closed_trades(events: Iterable[BotEvent]) -> tuple[TradeLine, ...]:
    """Return the newest closed trades, oldest first, one line an order; `events` newest first."""
    orders: dict[tuple[str, str], list[BotEvent]] = {}
    for number, event in enumerate(events):
        if amount(event, "profit") is None:
            continue
        key = (event.bot, event.order_id or f"event {number}")
        if key in orders or len(orders) < SHOWN:
            orders.setdefault(key, []).append(event)
    return tuple(_line(fills) for fills in reversed(orders.values()))


def _line(fills: list[BotEvent]) -> TradeLine:
    """Return the line of an order; `fills` are newest first."""
    newest = fills[0]
    return TradeLine(
        at=newest.at,
        bot=newest.bot,
        symbol=newest.symbol,
        currency=str(newest.data.get("currency", "")),
        profit=float(sum(_amounts(fills, "profit"))),
        fee=_total(_amounts(fills, "fee")),
    )


def watch_list(signals: Iterable[BotEvent]) -> tuple[WatchedSymbol, ...]:
    """Return the last signal of each bot and symbol; `signals` are newest first."""
    found: dict[tuple[str, str], WatchedSymbol] = {}
    for signal in signals:
        line = WatchedSymbol(
            bot=signal.bot,
            symbol=signal.symbol,
            strategy=signal.strategy,
            signal=signal.summary,
            at=signal.at,
        )
        found.setdefault((signal.bot, signal.symbol), line)
    return tuple(islice(found.values(), SHOWN))


def _figures(bot: str, currency: str, found: list[BotEvent]) -> TradeFigures:
    profits = _by_order(found)
    gains = sum((profit for profit in profits if profit > 0), Decimal(0))
    losses = -sum((profit for profit in profits if profit < 0), Decimal(0))
    return TradeFigures(
        bot=bot,
        currency=currency,
        trades=len(found),
        closed=len(profits),
        win_ratio=sum(profit > 0 for profit in profits) / len(profits) if profits else None,
        profit=_total(profits),
        profit_factor=float(gains / losses) if losses else None,
        fees=_total(_amounts(found, "fee")),
        slippage=_total(_amounts(found, "slippage")),
    )


def _by_order(found: list[BotEvent]) -> list[Decimal]:
    """Return the profit of each order: one order that was filled in parts is one trade."""
    profits: dict[str, Decimal] = defaultdict(Decimal)
    for at, event in enumerate(found):
        if (profit := amount(event, "profit")) is not None:
            profits[event.order_id or f"event {at}"] += profit
    return list(profits.values())


def _amounts(found: list[BotEvent], name: str) -> list[Decimal]:
    return [value for event in found if (value := amount(event, name)) is not None]


def _total(amounts: list[Decimal]) -> float | None:
    return float(sum(amounts)) if amounts else None
