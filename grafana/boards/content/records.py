"""Whether a bot's records agree with its venue: positions, orders, balances."""

from grafana.boards.panels import GREEN, above, apart, events, lines, row, steps, timeline
from grafana.boards.words import age, gain, most

POSITIONS = row(
    "Positions, and whether the venue agrees",
    (
        lines(
            "Positions",
            "short",
            most("trading_position", "bot", "symbol"),
            "What each bot holds, in units of the base currency; below 0 is short.",
        ),
        lines(
            "Drift",
            "short",
            most("trading_position_drift", "bot", "symbol"),
            "What the records have more than the venue. Anything but 0 that a second look confirms "
            "halts the bot until a person has settled it.",
            limits=apart(1e-9),
            runbook="TradingBotPositionDrift",
        ),
        steps(
            "Orders that only one side knows",
            "short",
            {
                **most("trading_orphaned_orders", "bot", called="at the venue"),
                **most("trading_lost_orders", "bot", called="in the records"),
            },
            "At the venue and not in the records, and the other way round.",
            limits=above(1),
            runbook="TradingBotOrphanedOrders",
        ),
        lines(
            "Age of the last comparison",
            "s",
            age("trading_reconciliation_timestamp_seconds", "bot"),
            "Time since records and venue were last compared as a whole.",
            limits=above(120, 600),
            runbook="TradingBotRecoveryIncomplete",
        ),
    ),
    (
        events(
            "Comparisons",
            "short",
            gain("trading_reconciliations_total", "bot", "result"),
            "By result. A failed one says nothing about positions.",
            runbook="TradingBotPositionDrift",
        ),
        events(
            "Differences found in a day",
            "short",
            gain("trading_discrepancies_total", "bot", "cause", window="1d"),
            "By cause: what happened while the bot was down, or beside it.",
            limits=above(1),
            runbook="TradingBotPositionDrift",
        ),
        lines(
            "Time of the comparison at the start",
            "s",
            most("trading_recovery_seconds", "bot"),
            "How long it took until it ended well. Nothing is submitted before.",
            limits=above(10, 60),
            runbook="TradingBotRecoveryIncomplete",
        ),
    ),
)

BALANCES = row(
    "Balances, and where they come from",
    (
        lines(
            "Balances",
            "short",
            most("trading_balance", "bot", "currency"),
            "At the venue, in units of the currency.",
        ),
        lines(
            "Balances that differ",
            "short",
            most("trading_balance_drift", "bot", "currency"),
            "The records' balance minus the venue's.",
            limits=apart(0.01),
            runbook="TradingBotBalanceDrift",
        ),
        lines(
            "Age of the balances",
            "s",
            age("trading_balance_timestamp_seconds", "bot"),
            "Neither the private feed nor REST has told them for so long.",
            limits=above(15, 30),
            runbook="TradingBotBalanceStale",
        ),
        timeline(
            "Source of the balances",
            "max by (bot, source) (trading_balance_source) == 1",
            "{{bot}} {{source}}",
            "The source of the balances in use. The feed is the rule; REST stands in for it.",
            states=(("1", "in use", GREEN),),
        ),
    ),
)
