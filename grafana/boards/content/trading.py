"""Trading and risk: what is held, what is lost, how much of each limit is used."""

from grafana.boards import links
from grafana.boards.board import Board
from grafana.boards.content.records import BALANCES, POSITIONS
from grafana.boards.panels import above, below, events, lines, row, stat, steps
from grafana.boards.words import gain, most, quantiles, rate


def _used(limit: str) -> str:
    return f'max(trading_risk_limit_used_ratio{{limit="{limit}"}})'


HEAD = row(
    "",
    (
        stat(
            "Exposure of its limit",
            "percentunit",
            _used("exposure"),
            "The bot that is nearest to its limit of exposure. The bot refuses what would take it "
            "further; a price may.",
            limits=above(0.8, 1),
            decimals=0,
            runbook="TradingBotExposureBreached",
        ),
        stat(
            "Daily loss of its limit",
            "percentunit",
            _used("daily_loss"),
            "The bot that is nearest to its daily loss limit. At 100 % it only reduces until a "
            "person lifts that.",
            limits=above(0.8, 1),
            decimals=0,
            runbook="TradingBotDailyLossBreached",
        ),
        stat(
            "Drawdown of its limit",
            "percentunit",
            _used("total_drawdown"),
            "The bot that is nearest to its drawdown limit. At 100 % it is halted until a person "
            "lifts that.",
            limits=above(0.8, 1),
            decimals=0,
            runbook="TradingBotDrawdownBreached",
        ),
        stat(
            "Loss of all bots",
            "percentunit",
            "max(fleet:trading_daily_loss:sum / on (currency) fleet:trading_daily_loss:limit)",
            "What all bots together have lost today, of what they may. At 100 % every bot is "
            "halted.",
            limits=above(0.8, 1),
            decimals=0,
            runbook="TradingFleetDailyLossBreached",
        ),
        stat(
            "Drifting positions",
            "short",
            "count(trading_position_drift != 0) or vector(0)",
            "Symbols in which records and venue disagree, after a second look.",
            limits=above(1),
            decimals=0,
            runbook="TradingBotPositionDrift",
        ),
        stat(
            "Orphaned orders",
            "short",
            "sum(trading_orphaned_orders)",
            "Orders at a venue that no bot knows. They may fill at any moment.",
            limits=above(1),
            decimals=0,
            runbook="TradingBotOrphanedOrders",
        ),
        stat(
            "Dead-man switch",
            "s",
            "min(trading_dead_man_switch_deadline_timestamp_seconds > 0) - time()",
            "How long until a venue cancels a bot's orders unless it is wound again, for the bot "
            "that is nearest. Below 0 it has.",
            limits=below(0, 5),
            decimals=1,
            runbook="TradingBotDown",
        ),
        stat(
            "Oldest balances",
            "s",
            "time() - min(trading_balance_timestamp_seconds)",
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
            "short",
            most("trading_equity", "bot", "currency"),
            "Balances and positions at current prices, in units of the currency.",
        ),
        lines(
            "Profit",
            "short",
            {
                **most("trading_realized_pnl", "bot", "currency", called="realised"),
                **most("trading_unrealized_pnl", "bot", "currency", called="open"),
            },
            "Of closed positions after fees since the bot's records began, and of open ones at "
            "current prices.",
        ),
        lines(
            "Exposure",
            "short",
            most("trading_exposure", "bot", "currency"),
            "Value of all open positions without regard to their sign.",
            runbook="TradingBotExposureBreached",
        ),
    ),
    (
        lines(
            "Lost today",
            "short",
            {
                **most("trading_daily_loss", "bot", "currency"),
                "all {{currency}}": "fleet:trading_daily_loss:sum",
                "limit of all {{currency}}": "fleet:trading_daily_loss:limit",
            },
            "What each bot has lost since its trading day began, and all together against their "
            "limit. Over it every bot is halted.",
            runbook="TradingFleetDailyLossBreached",
        ),
        lines(
            "Below the best result",
            "short",
            most("trading_drawdown", "bot", "currency"),
            "How far each bot's result is below its highest, in units of the currency.",
            runbook="TradingBotDrawdownBreached",
        ),
        lines(
            "Use of the bots' own limits",
            "percentunit",
            most("trading_risk_limit_used_ratio", "bot", "limit"),
            "From 100 % on a bot denies the order, or is held.",
            limits=above(0.8, 1),
            runbook="TradingBotDailyLossNear",
        ),
    ),
)

ORDERS = row(
    "What becomes of orders",
    (
        lines(
            "Orders",
            "cps",
            rate("trading_orders_total", "bot", "outcome"),
            "Per second, by how they ended.",
            runbook="TradingBotOrdersRejected",
        ),
        events(
            "Denied by the bot itself",
            "short",
            gain("trading_order_denials_total", "bot", "code", top=5),
            "By the guard that held them back, the five most frequent. A denied order is tried "
            "again at each pass.",
            limits=above(10, 50),
            runbook="TradingBotOrdersDenied",
        ),
        lines(
            "Time to the venue's acknowledgement",
            "s",
            quantiles("trading_order_duration_seconds", "bot", window="1h"),
            "From submitting an order to the venue's word, over the last hour. The objective is a "
            "second.",
            limits=above(0.5, 1),
            runbook="TradingBotOrdersSlow",
        ),
        lines(
            "Time to the last fill",
            "s",
            quantiles("trading_order_fill_duration_seconds", "bot", window="1h"),
            "From submitting an order to its last fill, over the last hour.",
            limits=above(10, 60),
            runbook="TradingBotOrdersSlow",
        ),
    ),
    (
        steps(
            "Orders that rest",
            "short",
            most("trading_open_orders", "bot"),
            "Own orders at the venue.",
            limits=above(20, 100),
        ),
        events(
            "Limits broken",
            "short",
            gain("trading_risk_breaches_total", "bot", "limit"),
            "Times that a limit was found broken, before an order or between orders.",
            limits=above(1),
            runbook="TradingBotDailyLossBreached",
        ),
        lines(
            "Usual and not",
            "short",
            {
                "{{bot}} {{anomaly_name}}": 'anomaly:select{anomaly_name="exposure"}',
                "{{bot}} upper": 'anomaly:upper_band{anomaly_name="exposure"}',
                "{{bot}} lower": 'anomaly:lower_band{anomaly_name="exposure"}',
            },
            "Exposure with the band of what was usual in the last day: four standard deviations. A "
            "hint, never a reason to act.",
            runbook="TradingAnomaly",
        ),
    ),
)

TRADING = Board(
    uid=links.TRADING,
    title="Trading and risk",
    question="What do the bots hold, what have they lost, how near are they to their limits, and "
    "do their records agree with the venue?",
    rows=(HEAD, MONEY, ORDERS, POSITIONS, BALANCES),
)
