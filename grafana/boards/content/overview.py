"""The first board: is everything well, and if not, where does one look next?"""

from grafana.boards import links
from grafana.boards.board import Board
from grafana.boards.content.fleet import FIRED, FLEET, LIST
from grafana.boards.content.healing import ATTEMPTS, TIME_TO_RECOVER, WAITS
from grafana.boards.panels import (
    GREEN,
    RED,
    above,
    below,
    lines,
    row,
    stat,
    timeline,
)
from grafana.boards.words import age, least, most, rate

VITAL_UP = 'up{job="trading-bot"}'

STATE = row(
    "",
    (
        stat(
            "Bots that answer",
            "percentunit",
            f"avg({VITAL_UP})",
            "Share of the registered bots whose last scrape was good. Below 100 % TradingBotDown "
            "is about to fire, or fires.",
            limits=below(1),
            runbook="TradingBotDown",
        ),
        stat(
            "Venues that answer",
            "percentunit",
            "avg(trading_venue_up)",
            "Share of the venues that answer the exporter. While one does not, its bots are left "
            "alone.",
            limits=below(1),
            runbook="TradingVenueDown",
        ),
        stat(
            "Oldest heartbeat",
            "s",
            "time() - min(trading_bot_heartbeat_timestamp_seconds)",
            "Time since the slowest bot finished a whole trading pass.",
            limits=above(5, 30),
            decimals=1,
            runbook="TradingBotHeartbeatStopped",
        ),
        stat(
            "Open incidents",
            "short",
            "sum(trading_ops_incidents_open)",
            "Incidents that the reconciler has not closed. They should be gone within a minute.",
            limits=above(1, 3),
        ),
        stat(
            "Given up",
            "short",
            "sum(trading_ops_incident_escalated) or vector(0)",
            "Incidents that the reconciler gave up and handed to a person. Any is bad.",
            limits=above(1),
            runbook="TradingRecoveryFailed",
        ),
        stat(
            "Error budget left",
            "percentunit",
            "min(slo:period_error_budget_remaining:ratio)",
            "What is left of the month's error budget, of the bot and the objective that are "
            "worst. Below 0 the objective is missed.",
            limits=below(0.25, 0.5),
            decimals=0,
            runbook="TradingSloBudgetBurningFast",
        ),
        stat(
            "Automation",
            "short",
            "max(trading_ops_automation_paused)",
            "Whether a person has paused automatic recovery.",
            limits=above(1),
            states=(("0", "acting", GREEN), ("1", "paused", RED)),
        ),
        stat(
            "Silences",
            "short",
            'max(alertmanager_silences{state="active"})',
            "Silences in force in Alertmanager. What is silenced is not recovered from either: "
            "hands are off.",
            limits=above(1, 10),
        ),
    ),
    (FLEET,),
    (FIRED, LIST),
)

TRADING = row(
    "Trading",
    (
        lines(
            "Exposure",
            "short",
            most("trading_exposure", "bot", "currency"),
            "Value of each bot's open positions, in units of the currency.",
            runbook="TradingBotExposureBreached",
        ),
        lines(
            "Result of the day",
            "short",
            {"{{bot}} {{currency}}": "-max by (bot, currency) (trading_daily_loss)"},
            "What each bot has lost since its trading day began, below the line, in units of the "
            "currency; 0 in profit.",
            runbook="TradingFleetDailyLossBreached",
        ),
        lines(
            "Orders",
            "cps",
            rate("trading_orders_total", "outcome"),
            "Orders per second by how they ended. Rejected is the venue's no, denied the bot's "
            "own.",
            runbook="TradingBotOrdersRejected",
        ),
    ),
    opens=links.TRADING,
)

MARKET = row(
    "Venue and market data",
    (
        lines(
            "Failed calls",
            "percentunit",
            {
                "{{bot}}": "sum by (bot) (rate(trading_venue_requests_total"
                '{code!~"ok|refused"}[$__rate_interval])) '
                "/ sum by (bot) (rate(trading_venue_requests_total[$__rate_interval]))"
            },
            "Share of each bot's calls to its venue that failed or were throttled. A clear no of "
            "the venue is no failure.",
            limits=above(0.05, 0.1),
            runbook="TradingBotVenueErrorsHigh",
        ),
        lines(
            "Age of the newest price",
            "s",
            age("trading_market_data_timestamp_seconds", "bot"),
            "Time since the last tick of any symbol. All symbols of a bot beyond 5 s raise "
            "TradingBotMarketDataStale.",
            limits=above(3, 5),
            runbook="TradingBotMarketDataStale",
        ),
        timeline(
            "Venue answers",
            "max by (venue) (trading_venue_up)",
            "{{venue}}",
            "Whether each venue answers the exporter's probe, each second.",
            limits=below(1),
            runbook="TradingVenueDown",
        ),
    ),
    opens=links.VENUE,
)

HEALING = row(
    "Recovery",
    (
        ATTEMPTS,
        WAITS,
        TIME_TO_RECOVER,
    ),
    opens=links.RECOVERY,
)

MACHINE = row(
    "Machine and databases",
    (
        lines(
            "Processors in use",
            "percentunit",
            {"{{instance}}": "1 - instance:trading_host_cpu_seconds:idle_ratio_rate5m"},
            "Share of the processors that worked, over five minutes.",
            limits=above(0.8, 0.95),
            runbook="TradingHostCpuHigh",
        ),
        lines(
            "Disk that is free",
            "percentunit",
            least("trading_host_disk_free_bytes / trading_host_disk_size_bytes", "path"),
            "Share of each file system that is free.",
            limits=below(0.05, 0.15),
            runbook="TradingHostDiskLow",
        ),
        timeline(
            "Databases answer",
            "min by (database) (trading_sqlite_up or trading_postgresql_up)",
            "{{database}}",
            "Whether each database could be read by the exporter.",
            limits=below(1),
            runbook="TradingDatabaseDown",
        ),
    ),
    opens=links.HOST,
)

OVERVIEW = Board(
    uid=links.OVERVIEW,
    title="Trading overview",
    question="Is everything well? If not: which bot, and is it the bot, its venue, the machine or "
    "the recovery itself?",
    rows=(STATE, TRADING, MARKET, HEALING, MACHINE),
)
