"""Trading and risk: positions, losses and usage of limits."""

from grafana.boards import links
from grafana.boards.board import Board
from grafana.boards.content.fleet import BREACHED
from grafana.boards.content.heads import DAILY_LOSS, DRAWDOWN, EXPOSURE
from grafana.boards.content.records import BALANCES, POSITIONS
from grafana.boards.content.series import OF_ORDERS
from grafana.boards.panels import (
    BLUE,
    PER_MINUTE,
    Axis,
    above,
    below,
    events,
    lines,
    row,
    stat,
    steps,
)
from grafana.boards.words import gain, last_known, most, per_minute, quantiles

ALERTING = "daily_loss|total_drawdown|exposure"
"""The limits with an alert; a bot may use the others in full."""

HEAD = row(
    "",
    (
        DAILY_LOSS,
        EXPOSURE,
        DRAWDOWN,
        stat(
            "Fleet loss",
            "percentunit",
            "max(fleet:trading_daily_loss:sum / on (currency) fleet:trading_daily_loss:limit)",
            "Today's loss of all bots together as a ratio of its limit. At 100 % every bot is "
            "halted.",
            limits=above(0.8, 1),
            decimals=0,
            runbook="TradingFleetDailyLossBreached",
        ),
    ),
    (
        stat(
            "Drift",
            "short",
            "count(trading_position_drift != 0) or max(trading_state >= 0) * 0",
            "Positions that differ between a bot's records and its venue, confirmed by a second "
            "comparison.",
            limits=above(1),
            decimals=0,
            runbook="TradingBotPositionDrift",
        ),
        stat(
            "Orphans",
            "short",
            "sum(trading_orphaned_orders)",
            "Orphaned orders: open at a venue, unknown to the bot. They may fill at any time.",
            limits=above(1),
            decimals=0,
            runbook="TradingBotOrphanedOrders",
        ),
        stat(
            "Dead man",
            "s",
            f"min({last_known('trading_dead_man_switch_deadline_timestamp_seconds')} > 0) - time()",
            "Time until the venue cancels a bot's orders unless the bot refreshes the switch, for "
            "the bot with the least. Below 0 the venue has cancelled them.",
            limits=below(0, 5),
            decimals=1,
            runbook="TradingBotDown",
            absent=("not armed", BLUE),
        ),
        stat(
            "Balance age",
            "s",
            f"time() - min({last_known('trading_balance_timestamp_seconds')})",
            "Age of the oldest balances that a bot trades on.",
            limits=above(15, 30),
            decimals=0,
            runbook="TradingBotBalanceStale",
        ),
    ),
)

MONEY = row(
    "Money",
    (
        lines(
            "Equity",
            "locale",
            most("trading_equity", "bot", "currency"),
            "Balances and positions at current prices, in units of the currency. The axis does not "
            "start at zero.",
            axis=Axis.FREE,
        ),
        lines(
            "Profit",
            "short",
            {
                **most("trading_realized_pnl", "bot", "currency", called="realized"),
                **most("trading_unrealized_pnl", "bot", "currency", called="unrealized"),
            },
            "Realized: closed positions after fees, since the start of the bot's records. "
            "Unrealized: open positions at current prices.",
            axis=Axis.SIGNED,
        ),
        lines(
            "Exposure by bot",
            "short",
            most("trading_exposure", "bot", "currency"),
            "Gross exposure: absolute value of all open positions.",
            runbook="TradingBotExposureBreached TradingBotPositionUnattended",
        ),
    ),
    (
        lines(
            "Daily loss by bot",
            "short",
            {
                **most("trading_daily_loss", "bot", "currency"),
                "all {{currency}}": "fleet:trading_daily_loss:sum",
                "limit of all {{currency}}": "fleet:trading_daily_loss:limit",
            },
            "Loss of each bot since the start of its trading day, and of all bots with their "
            "limit. Above the limit every bot is halted.",
            runbook="TradingFleetDailyLossBreached",
        ),
        lines(
            "Drawdown by bot",
            "short",
            most("trading_drawdown", "bot", "currency"),
            "Drawdown of each bot from its peak, in units of the currency.",
            runbook="TradingBotDrawdownBreached",
        ),
        lines(
            "Limits with alerts",
            "percentunit",
            most(f'trading_risk_limit_used_ratio{{limit=~"{ALERTING}"}}', "limit"),
            "Usage of the limits of daily loss, drawdown and exposure by the worst bot. Above "
            "100 % an alert fires.",
            limits=above(BREACHED),
            runbook="TradingBotDailyLossHigh",
        ),
    ),
)

ORDERS = row(
    "Order flow",
    (
        lines(
            "Orders",
            PER_MINUTE,
            per_minute("trading_orders_total", "outcome"),
            "Orders per minute, by outcome.",
            colors=OF_ORDERS,
            runbook="TradingBotOrdersRejected",
        ),
        events(
            "Orders denied",
            "short",
            gain("trading_order_denials_total", "code"),
            "Orders denied by the bots themselves, by reason. A denied order is retried in each "
            "pass.",
            limits=above(10, 50),
            runbook="TradingBotOrdersDenied",
        ),
        lines(
            "Time to acknowledgement",
            "s",
            quantiles("trading_order_duration_seconds", "bot", window="1h", of=(95,)),
            "From submitting an order to the venue's acknowledgement, p95 over the last hour. The "
            "SLO is one second.",
            limits=above(0.5, 1),
            runbook="TradingBotOrdersSlow",
        ),
        lines(
            "Time to the last fill",
            "s",
            quantiles("trading_order_fill_duration_seconds", "bot", window="1h", of=(95,)),
            "From submitting an order to its last fill, p95 over the last hour.",
            limits=above(10, 60),
            runbook="TradingBotOrdersSlow",
        ),
    ),
    (
        steps(
            "Open orders",
            "short",
            most("trading_open_orders", "bot"),
            "The bot's own orders at the venue.",
            limits=above(20, 100),
        ),
        lines(
            "Order limits",
            "percentunit",
            most(f'trading_risk_limit_used_ratio{{limit!~"{ALERTING}"}}', "limit"),
            "Usage of the other limits by the worst bot. A bot may use them in full, and denies "
            "orders that would exceed one.",
        ),
        events(
            "Limit breaches",
            "short",
            gain("trading_risk_breaches_total", "limit"),
            "Breaches of limits, found before an order or between orders.",
            limits=above(1),
            runbook="TradingBotDailyLossBreached",
        ),
        lines(
            "Exposure, anomaly band",
            "short",
            {
                "{{bot}} {{anomaly_name}}": 'anomaly:select{anomaly_name="exposure"}',
                "{{bot}} upper": 'anomaly:upper_band{anomaly_name="exposure"}',
                "{{bot}} lower": 'anomaly:lower_band{anomaly_name="exposure"}',
            },
            "Exposure with the band of the last day: mean and four standard deviations. "
            "Informational only.",
            axis=Axis.FREE,
            runbook="TradingAnomaly",
        ),
    ),
)

TRADING = Board(
    uid=links.TRADING,
    title="2 Trading and risk",
    question="What are the bots' positions and losses, how close are they to their limits, and do "
    "their records match the venue?",
    rows=(HEAD, MONEY, ORDERS, POSITIONS, BALANCES),
)
