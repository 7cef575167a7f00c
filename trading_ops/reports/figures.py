"""The values of a report that come from Prometheus, at the end of the period."""

import asyncio
import math
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from trading_ops.clients.prometheus import Prometheus
from trading_ops.errors import ClientError

BOT = 'job=~"trading-bot|trading-bot-detail"'
EXPORTER = 'job="trading-exporter"'
NOW, KNOWN = "10m", "1d"
"""Maximum age of a sample: for current values, and for values that stay valid while a bot is
off."""


def _latest(metric: str, age: str, offset: str = "") -> str:
    return f"last_over_time({metric}{{{BOT}}}[{age}]{offset})"


RESULT_NOW = f"max by (bot, currency) ({_latest('trading_realized_pnl', KNOWN)})"
RESULT_THEN = f"max by (bot, currency) ({_latest('trading_realized_pnl', KNOWN, ' offset $span')})"

QUERIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "result": (
        f"{RESULT_NOW} - {RESULT_THEN}",
        ("bot", "currency"),
    ),
    "unrealized": (
        f"max by (bot, currency) ({_latest('trading_unrealized_pnl', NOW)})",
        ("bot", "currency"),
    ),
    "equity": (f"max by (bot, currency) ({_latest('trading_equity', NOW)})", ("bot", "currency")),
    "exposure": (
        f"max by (bot, currency) ({_latest('trading_exposure', NOW)})",
        ("bot", "currency"),
    ),
    "worst_daily_loss": (
        f"max by (bot, currency) (max_over_time(trading_daily_loss{{{BOT}}}[$span]))",
        ("bot", "currency"),
    ),
    "positions": (
        f"max by (bot, symbol) ({_latest('trading_position', NOW)}) != 0",
        ("bot", "symbol"),
    ),
    "position_profits": (
        f"max by (bot, symbol) ({_latest('trading_position_unrealized_pnl', NOW)})",
        ("bot", "symbol"),
    ),
    "open_positions": (f"max by (bot) ({_latest('trading_open_positions', NOW)})", ("bot",)),
    "orders_filled": (
        f'round(sum by (bot) (increase(trading_orders_total{{{BOT}, outcome="filled"}}[$span])))',
        ("bot",),
    ),
    "trades_closed": (
        f"round(sum by (bot) (increase(trading_freqtrade_closed_trades_total{{{BOT}}}[$span])))",
        ("bot",),
    ),
    "trades_won": (
        f"round(sum by (bot) (increase(trading_freqtrade_won_trades_total{{{BOT}}}[$span])))",
        ("bot",),
    ),
    "limits": (
        f"max by (bot, limit) (max_over_time(trading_risk_limit_used_ratio{{{BOT}}}[$span]))",
        ("bot", "limit"),
    ),
    "budgets": ("min by (sloth_slo) (slo:period_error_budget_remaining:ratio)", ("sloth_slo",)),
    "disks": (
        (
            f"min by (instance, path) (trading_host_disk_free_bytes{{{EXPORTER}}}"
            f" / trading_host_disk_size_bytes{{{EXPORTER}}})"
        ),
        ("instance", "path"),
    ),
}

Figures = dict[tuple[str, ...], float]


async def read_figures(
    prometheus: Prometheus,
    *,
    since: datetime,
    until: datetime,
    only: Collection[str] = QUERIES.keys(),
) -> dict[str, Figures | None]:
    """Return the values of these queries by their labels; None: Prometheus did not answer it."""
    span = f"{max(60, (until - since) // timedelta(seconds=1))}s"

    async def ask(query: str, labels: tuple[str, ...]) -> Figures | None:
        try:
            found = await prometheus.query(query.replace("$span", span), at=until)
        except ClientError:
            return None
        return {
            tuple(sample.labels[label] for label in labels): sample.value
            for sample in found
            if math.isfinite(sample.value) and sample.labels.keys() >= set(labels)
        }

    answers = await asyncio.gather(*(ask(*QUERIES[name]) for name in only))
    return dict(zip(only, answers, strict=True))
