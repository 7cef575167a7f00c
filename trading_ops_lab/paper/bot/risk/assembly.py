"""Puts the risk component together from the bot's parts."""

from collections.abc import Mapping
from decimal import Decimal

from trading_ops.agent import Holds
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.market import Quote
from trading_ops.botkit.records.store import Store
from trading_ops.botkit.risk.guard import RiskGuard
from trading_ops.botkit.risk.protection import Protection
from trading_ops.botkit.venue.broker import Broker
from trading_ops.botkit.venue.errors import VenueDown
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.config import BotConfig


def guard_of(
    config: BotConfig,
    metrics: BotMetrics,
    *,
    broker: Broker,
    book: Book,
    store: Store,
    holds: Holds,
    quotes: Mapping[str, Quote],
) -> RiskGuard:
    """Return the component of a bot."""

    def minimum(symbol: str) -> Decimal:
        try:
            return broker.client.rules(symbol).minimum
        except (VenueDown, KeyError):
            return Decimal(0)  # then a rest counts as a position, which is the stricter of the two

    return RiskGuard(
        metrics,
        limits=config.risk,
        symbols=config.symbols,
        stale_seconds=config.stale_seconds,
        book=book,
        store=store,
        holds=holds,
        quotes=quotes,
        minimum=minimum,
        balances_at=lambda: broker.balances_at,
    )


def stop_percent(config: BotConfig) -> Decimal | None:
    """Return how far below the entry a stop covers a position; None: the setting wants none."""
    return config.risk.stop_percent if config.protection is Protection.STOP_LOSS else None
