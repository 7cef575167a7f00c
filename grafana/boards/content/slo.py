"""SLOs: remaining error budgets and burn rates."""

from grafana.boards import links
from grafana.boards.board import Board
from grafana.boards.panels import PER_SECOND, Column, Panel, above, below, lines, row, stat, table

BY = "bot, sloth_slo"
LEFT = f"clamp_min(min by ({BY}) (slo:period_error_budget_remaining:ratio), -1)"
BURN = f"max by ({BY}) (slo:current_burn_rate:ratio)"
FAST, MEDIUM, SLOW, SLOWEST = 14.4, 6, 3, 1
"""Burn rates: pages over 5 m and 1 h, over 30 m and 6 h; tickets over 2 h and 1 d, 6 h and 3 d."""


def _errors(window: str) -> str:
    return f"max by ({BY}) (slo:sli_error:ratio_rate{window})"


def _burns(window: str) -> str:
    return (
        f"max by (sloth_id, {BY}) (slo:sli_error:ratio_rate{window}) "
        "/ on (sloth_id) group_left () max by (sloth_id) (slo:error_budget:ratio)"
    )


def _shortest(short: str, long: str) -> str:
    """Return the smaller burn rate of two windows: an alert needs both."""
    fast, slow = f"({_burns(short)})", f"({_burns(long)})"
    return f"({fast} < {slow} or {slow} <= {fast})"


FASTEST = (
    f"{_shortest('5m', '1h')} / {FAST} "
    f'or label_replace({_shortest("30m", "6h")} / {MEDIUM}, "sloth_window", "6h", "", "")'
)


def _window(title: str, short: str, long: str, rate: float, what: str) -> Panel:
    runbook = "TradingErrorBudgetBurnFast" if rate >= MEDIUM else "TradingErrorBudgetBurnSlow"
    return lines(
        title,
        "short",
        {"{{bot}} {{sloth_slo}}": f"topk(10, {_shortest(short, long)})"},
        f"Burn rate, the lower of both windows; the ten fastest. Above {rate:g}: {what}.",
        limits=above(rate),
        runbook=runbook,
    )


HEAD = row(
    "",
    (
        stat(
            "Budget left",
            "percentunit",
            "clamp_min(min(slo:period_error_budget_remaining:ratio), -1)",
            "Remaining error budget of the month, for the worst bot and SLO. Below 0 the SLO is "
            "missed. Time before the first measurement counts as good.",
            limits=below(0.25, 0.5),
            decimals=0,
            runbook="TradingErrorBudgetBurnFast",
        ),
        stat(
            "Missed",
            "short",
            "sum(slo:period_error_budget_remaining:ratio < bool 0)",
            "SLOs with an exhausted error budget. Make no risky changes until it recovers.",
            limits=above(1),
            decimals=0,
            runbook="TradingErrorBudgetBurnSlow",
        ),
        stat(
            "Fastest burn",
            "percentunit",
            f"max({FASTEST})",
            "Burn rate as a ratio of the paging threshold, in both windows of the alert: 5 min and "
            "1 h, or 30 min and 6 h. At 100 % TradingErrorBudgetBurnFast fires if there are enough "
            "events.",
            limits=above(0.5, 1),
            decimals=0,
            runbook="TradingErrorBudgetBurnFast",
        ),
        stat(
            "Availability",
            "percentunit",
            '1 - max(slo:sli_error:ratio_rate30d{sloth_slo="availability"})',
            "Ratio of successful scrapes of the worst bot, over the month or since its first "
            "scrape.",
            limits=below(0.99, 0.999),
            decimals=3,
            runbook="TradingBotDown",
        ),
    ),
    (
        table(
            "All objectives",
            {
                "Budget left": (
                    LEFT,
                    Column(unit="percentunit", limits=below(0.25, 0.5), decimals=1),
                ),
                "Burn rate now": (BURN, Column(unit="short", limits=above(1, FAST), decimals=2)),
                "Bad, 5 min": (_errors("5m"), Column(unit="percentunit", decimals=3)),
                "Bad, 1 h": (_errors("1h"), Column(unit="percentunit", decimals=3)),
                "Bad, 1 day": (_errors("1d"), Column(unit="percentunit", decimals=3)),
                "Bad, 30 days": (_errors("30d"), Column(unit="percentunit", decimals=3)),
                "Events": (
                    f"max by ({BY}) (slo:sli_events:rate5m)",
                    Column(unit=PER_SECOND, decimals=2),
                ),
            },
            "One row per bot and SLO. Without events the values are unknown.",
            height=10,
            runbook="TradingErrorBudgetBurnSlow",
            value_links=(links.OF_THE_BOT,),
            linked="bot",
            worst_first="Burn rate now",
        ),
    ),
)

BURNS = row(
    "Burn rates",
    (
        _window("Pages: 5 minutes and 1 hour", "5m", "1h", FAST, "page: budget spent in 2 days"),
        _window(
            "Pages: 30 minutes and 6 hours", "30m", "6h", MEDIUM, "page: budget spent in 5 days"
        ),
    ),
    (
        _window("Tickets: 2 hours and 1 day", "2h", "1d", SLOW, "ticket: budget spent in 10 days"),
        _window("Tickets: 6 hours and 3 days", "6h", "3d", SLOWEST, "ticket"),
    ),
)

BUDGETS = row(
    "Error budgets",
    (
        lines(
            "Budget by objective",
            "percentunit",
            {"{{bot}} {{sloth_slo}}": LEFT},
            "Remaining for the month, not below -100 %. It recovers only as old failures leave the "
            "window.",
            limits=below(0.25, 0.5),
            runbook="TradingErrorBudgetBurnSlow",
        ),
        lines(
            "Budget left in a week",
            "percentunit",
            {
                "{{bot}} {{sloth_slo}}": f"clamp(min by ({BY}) (predict_linear("
                "slo:period_error_budget_remaining:ratio[6h], 7 * 24 * 3600) and "
                "count_over_time(slo:period_error_budget_remaining:ratio[6h]) > 360), -1, 1)"
            },
            "Linear forecast from the last 6 h, not below -100 %. Needs three hours of history.",
            limits=below(0, 0.25),
            runbook="TradingErrorBudgetBurnSlow",
        ),
        lines(
            "Events",
            PER_SECOND,
            {"{{bot}} {{sloth_slo}}": f"max by ({BY}) (slo:sli_events:rate5m)"},
            "Events per second that count for the SLO. Burn rate alerts need ten events.",
        ),
    ),
)

SLO = Board(
    uid=links.SLO,
    title="6 Objectives and error budgets",
    question="Do the bots meet their SLOs for the month, and how fast is the remaining error "
    "budget burning?",
    rows=(HEAD, BURNS, BUDGETS),
    window="now-6h",
    refresh="30s",
)
