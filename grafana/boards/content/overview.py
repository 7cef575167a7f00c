"""The overview board: is everything healthy, and if not, where to look next?"""

from grafana.boards import links
from grafana.boards.board import Board
from grafana.boards.content.fleet import DOWN, FIRED, FLEET, LISTS
from grafana.boards.content.heads import DAILY_LOSS, DRAWDOWN, ESCALATED, EXPOSURE
from grafana.boards.content.remediation import ATTEMPTS, TIME_TO_RECOVER, WAITS
from grafana.boards.content.series import OF_ORDERS
from grafana.boards.panels import (
    PER_MINUTE,
    Axis,
    above,
    below,
    lines,
    row,
    stat,
    timeline,
)
from grafana.boards.words import age, down_or_all, least, most, per_minute

STATE = row(
    "",
    (
        DAILY_LOSS,
        EXPOSURE,
        DRAWDOWN,
        stat(
            "Bots stopped",
            "short",
            f'count({DOWN} or max by (bot) (trading_state{{state="halted"}}) == 1) '
            'or count(up{job="trading-bot"}) * 0',
            "Bots that do not answer, and bots that are halted.",
            limits=above(1),
            decimals=0,
            runbook="TradingBotDown",
        ),
        stat(
            "Critical",
            "short",
            'count(ALERTS{alertstate="firing",severity=~"critical|emergency"}) '
            'or count(ALERTS{alertname="Watchdog",alertstate="firing"}) * 0',
            "Firing critical and emergency alerts. Unknown without Watchdog, which always fires.",
            limits=above(1),
            decimals=0,
        ),
        ESCALATED,
    ),
    (FLEET,),
    (FIRED, *LISTS),
)

TRADING = row(
    "Trading",
    (
        lines(
            "Exposure by bot",
            "short",
            most("trading_exposure", "bot", "currency"),
            "Value of each bot's open positions, in units of the currency.",
            runbook="TradingBotExposureBreached",
        ),
        lines(
            "Daily PnL",
            "short",
            {"{{bot}} {{currency}}": "-max by (bot, currency) (trading_daily_loss)"},
            "Loss of each bot since the start of its trading day, as a negative value in units of "
            "the currency; 0 in profit.",
            axis=Axis.SIGNED,
            runbook="TradingFleetDailyLossBreached",
        ),
        lines(
            "Orders",
            PER_MINUTE,
            per_minute("trading_orders_total", "outcome"),
            "Orders per minute, by outcome. Rejected: by the venue. Denied: by the bot.",
            colors=OF_ORDERS,
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
            "Ratio of each bot's venue requests that failed or were throttled. A rejection by the "
            "venue does not count.",
            limits=above(0.05, 0.1),
            runbook="TradingBotVenueErrorsHigh",
        ),
        lines(
            "Age of the newest price",
            "s",
            age("trading_market_data_timestamp_seconds", "bot"),
            "Time since the last tick of any symbol. TradingBotMarketDataStale fires when all "
            "symbols of a bot exceed 5 s.",
            limits=above(3, 5),
            runbook="TradingBotMarketDataStale",
        ),
        timeline(
            "Venue answers",
            "max by (venue) (trading_venue_up)",
            "{{venue}}",
            "Whether each venue answers the exporter's probe, every second.",
            limits=below(1),
            runbook="TradingVenueDown",
        ),
    ),
    opens=links.VENUE,
)

REMEDIATION = row(
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
            "CPU usage",
            "percentunit",
            {"{{instance}}": "1 - instance:trading_host_cpu_seconds:idle_ratio_rate5m"},
            "Ratio of used CPU time, over 5 min.",
            limits=above(0.8, 0.95),
            runbook="TradingHostCpuHigh",
        ),
        lines(
            "Disk free",
            "percentunit",
            least("trading_host_disk_free_bytes / trading_host_disk_size_bytes", "path"),
            "Free ratio of each file system.",
            limits=below(0.05, 0.15),
            runbook="TradingHostDiskLow",
        ),
        timeline(
            "Databases answer",
            down_or_all("database", "trading_sqlite_up", "trading_postgresql_up"),
            "{{database}}",
            "Whether the exporter could read each database: each one that it could not read in the "
            "time range, and all others in one band.",
            limits=below(1),
            runbook="TradingDatabaseDown",
        ),
    ),
    opens=links.HOST,
)

OVERVIEW = Board(
    uid=links.OVERVIEW,
    title="1 Trading overview",
    question="Is everything healthy? If not: which bot, and is it the bot, its venue, the host or "
    "remediation itself?",
    rows=(STATE, TRADING, MARKET, REMEDIATION, MACHINE),
)
