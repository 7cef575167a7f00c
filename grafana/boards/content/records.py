"""Comparison of a bot's records with its venue: positions, orders, balances."""

from grafana.boards.content.series import OF_COMPARISONS
from grafana.boards.panels import (
    GREEN,
    RED,
    YELLOW,
    Column,
    above,
    apart,
    events,
    lines,
    row,
    steps,
    table,
    timeline,
)
from grafana.boards.words import age, gain, most

HELD = "max by (bot, symbol) (trading_position)"

POSITIONS = row(
    "Positions and drift",
    (
        table(
            "Positions",
            {
                "Quantity": (HELD, Column(unit="short")),
                "Unrealized": (
                    "max by (bot, symbol) (trading_position_unrealized_pnl)",
                    Column(unit="short", decimals=2),
                ),
                "Value": (
                    f"{HELD} * max by (bot, symbol) (trading_market_data_price)",
                    Column(unit="short", decimals=2),
                ),
            },
            "Position of each bot in units of the base currency, negative when short, and its "
            "unrealized profit and value in the quote currency at the last price.",
            height=7,
        ),
        lines(
            "Drift by symbol",
            "short",
            most("trading_position_drift", "bot", "symbol"),
            "Position in the records minus the venue's. A drift confirmed by a second comparison "
            "halts the bot until an operator resumes it.",
            limits=apart(1e-9),
            runbook="TradingBotPositionDrift",
        ),
        steps(
            "Orphaned and missing orders",
            "short",
            {
                **most("trading_orphaned_orders", "bot", called="orphaned (only at the venue)"),
                **most("trading_missing_orders", "bot", called="missing (only in the records)"),
            },
            "Orders at the venue that are not in the records, and orders in the records that are "
            "not at the venue.",
            limits=above(1),
            runbook="TradingBotOrphanedOrders",
        ),
    ),
    (
        lines(
            "Age of the last comparison",
            "s",
            age("trading_reconciliation_timestamp_seconds", "bot"),
            "Time since the last complete comparison of records and venue.",
            limits=above(120, 600),
            runbook="TradingBotRecoveryIncomplete",
        ),
        events(
            "Comparisons",
            "short",
            gain("trading_reconciliations_total", "bot", "result"),
            "Comparisons of records and venue, by result. A failed one does not check positions.",
            colors=OF_COMPARISONS,
            runbook="TradingBotPositionDrift",
        ),
        steps(
            "Differences found in 24 h",
            "short",
            gain("trading_discrepancies_total", "bot", "cause", window="1d"),
            "By cause: what happened while the bot was down, or through other clients.",
            limits=above(1),
            runbook="TradingBotPositionDrift",
        ),
        lines(
            "Startup reconciliation time",
            "s",
            most("trading_startup_reconciliation_duration_seconds", "bot"),
            "Duration until it succeeded. The bot submits no orders before that.",
            limits=above(10, 60),
            runbook="TradingBotRecoveryIncomplete",
        ),
    ),
)

BALANCES = row(
    "Balances and their source",
    (
        table(
            "Balances",
            {"Balance": ("max by (bot, currency) (trading_balance)", Column(unit="short"))},
            "At the venue, in units of the currency.",
            height=7,
        ),
        lines(
            "Balances that differ",
            "short",
            most("trading_balance_drift", "bot", "currency"),
            "Balance in the records minus the venue's.",
            limits=apart(0.01),
            runbook="TradingBotBalanceDrift",
        ),
        lines(
            "Age of the balances",
            "s",
            age("trading_balance_timestamp_seconds", "bot"),
            "Time since the private feed or REST last provided balances.",
            limits=above(15, 30),
            runbook="TradingBotBalanceStale",
        ),
        timeline(
            "Source of the balances",
            'max by (bot) (trading_balance_source{source="rest"} '
            'or trading_balance_source{source="last_good"} * 2)',
            "{{bot}}",
            "Source of the current balances: the private feed, REST if the feed fails, or the last "
            "good ones if both fail.",
            states=(("0", "feed", GREEN), ("1", "REST", YELLOW), ("2", "last good", RED)),
            limits=above(1, 2),
        ),
    ),
)
