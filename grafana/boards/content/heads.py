"""Stat panels that several dashboards share."""

from grafana.boards.content.fleet import BREACHED
from grafana.boards.panels import Limits, Panel, above, stat
from grafana.boards.words import last_known

RECONCILER = 'max(up{job="trading-reconciler"} == 1)'


def _used(title: str, limit: str, description: str, limits: Limits, runbook: str) -> Panel:
    selector = f'trading_risk_limit_used_ratio{{limit="{limit}"}}'
    return stat(
        title,
        "percentunit",
        f"max({last_known(selector)})",
        f"{description} For a bot that does not answer, the last value of the past hour.",
        limits=limits,
        decimals=0,
        runbook=runbook,
    )


DAILY_LOSS = _used(
    "Daily loss",
    "daily_loss",
    "Today's loss as a ratio of its limit, for the worst bot. At 100 % the bot is reduce-only "
    "until an operator resumes it.",
    above(0.8, 1),
    "TradingBotDailyLossBreached TradingBotDailyLossHigh TradingBotLossRunaway",
)

EXPOSURE = _used(
    "Exposure",
    "exposure",
    "Value of the open positions as a ratio of its limit, for the worst bot. Orders are denied at "
    "100 %; a price move can exceed it, and then the alert fires.",
    above(BREACHED),
    "TradingBotExposureBreached",
)

DRAWDOWN = _used(
    "Drawdown",
    "total_drawdown",
    "Drawdown from the peak as a ratio of its limit, for the worst bot. At 100 % the bot is halted "
    "until an operator resumes it.",
    above(0.8, 1),
    "TradingBotDrawdownBreached",
)

ESCALATED = stat(
    "Escalated",
    "short",
    f"sum(trading_ops_incident_escalated) or {RECONCILER} * 0",
    "Incidents that were escalated to on-call.",
    limits=above(1),
    decimals=0,
    runbook="TradingRecoveryFailed",
)
