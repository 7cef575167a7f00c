"""The rows of the overview: the state in one line, then one row for each slice."""

from grafana.boards.losses_row import LOSSES
from grafana.boards.panels import (
    GREEN,
    OF_BOT,
    OF_VENUE,
    RED,
    WATCHED,
    YELLOW,
    Look,
    Panel,
    Query,
    Row,
)
from grafana.boards.records_row import RECORDS
from grafana.boards.recovery_row import RECOVERY

GOOD_AT_ONE = ((None, RED), (1.0, GREEN))
BAD_FROM_ONE = ((None, GREEN), (1.0, RED))
PLAIN = ((None, GREEN),)
UP = (("0", "down", RED), ("1", "up", GREEN))
VITAL_UP = f'up{{job="trading-bot",{OF_BOT}}}'

STATE = Row(
    title="",
    panels=(
        Panel(
            title="Bots that answer",
            description="Share of the registered bots whose last scrape was good. Below 100 % "
            "TradingBotDown is about to fire, or fires.",
            unit="percentunit",
            look=Look.STAT,
            width=4,
            height=4,
            thresholds=GOOD_AT_ONE,
            queries=(Query(expr=f"avg({VITAL_UP})", legend="bots"),),
            runbook="TradingBotDown",
        ),
        Panel(
            title="Venues that answer",
            description="Share of the venues that answer the exporter. While one does not, its "
            "bots are left alone.",
            unit="percentunit",
            look=Look.STAT,
            width=4,
            height=4,
            thresholds=GOOD_AT_ONE,
            queries=(Query(expr=f"avg(trading_venue_up{{{OF_VENUE}}})", legend="venues"),),
            runbook="TradingVenueDown",
        ),
        Panel(
            title="Open incidents",
            description="Incidents that the reconciler has not closed. They should be gone within "
            "a minute.",
            unit="short",
            look=Look.STAT,
            width=4,
            height=4,
            thresholds=((None, GREEN), (1.0, YELLOW), (3.0, RED)),
            queries=(
                Query(
                    expr=f"sum(trading_ops_incidents_open{{{WATCHED}}}) or vector(0)", legend="open"
                ),
            ),
        ),
        Panel(
            title="Escalated",
            description="Incidents that the reconciler gave up and handed to a person. Any is bad.",
            unit="short",
            look=Look.STAT,
            width=4,
            height=4,
            thresholds=BAD_FROM_ONE,
            queries=(
                Query(
                    expr=f"sum(trading_ops_incident_escalated{{{WATCHED}}}) or vector(0)",
                    legend="escalated",
                ),
            ),
            runbook="TradingRecoveryFailed",
        ),
        Panel(
            title="Oldest heartbeat",
            description="Time since the slowest bot finished a whole trading pass.",
            unit="s",
            look=Look.STAT,
            width=4,
            height=4,
            decimals=1,
            thresholds=((None, GREEN), (3.0, YELLOW), (5.0, RED)),
            queries=(
                Query(
                    expr=f"time() - min(trading_bot_heartbeat_timestamp_seconds{{{OF_BOT}}})",
                    legend="age",
                ),
            ),
        ),
        Panel(
            title="Automation",
            description="Whether a person has paused automatic recovery.",
            unit="short",
            look=Look.STAT,
            width=4,
            height=4,
            thresholds=BAD_FROM_ONE,
            states=(("0", "acting", GREEN), ("1", "paused", RED)),
            queries=(
                Query(expr=f"max(trading_ops_automation_paused{{{WATCHED}}})", legend="automation"),
            ),
        ),
        Panel(
            title="Firing alerts",
            description="Which alerts fired, and how long. Watchdog always fires and is left out.",
            unit="short",
            look=Look.TIMELINE,
            width=24,
            height=6,
            thresholds=BAD_FROM_ONE,
            states=(("1", "firing", RED),),
            queries=(
                Query(
                    expr='max by (alertname, bot, venue) (ALERTS{alertstate="firing",'
                    'alertname!="Watchdog",bot=~"$bot",venue=~"$venue"})',
                    legend="{{alertname}} {{bot}} {{venue}}",
                ),
            ),
        ),
    ),
)

BOT = Row(
    title="The bot's process (TradingBotDown)",
    panels=(
        Panel(
            title="Bot answers",
            description="Each scrape of a bot, every second: 1 is good. Six seconds at 0 raise "
            "TradingBotDown.",
            unit="short",
            look=Look.TIMELINE,
            thresholds=GOOD_AT_ONE,
            states=UP,
            queries=(Query(expr=f"max by (bot) ({VITAL_UP})", legend="{{bot}}"),),
            runbook="TradingBotDown",
        ),
        Panel(
            title="Time since start",
            description="Age of each bot's process. It falls to zero at a restart, whoever made "
            "it.",
            unit="s",
            thresholds=PLAIN,
            queries=(
                Query(
                    expr=f"time() - max by (bot) (trading_bot_start_timestamp_seconds{{{OF_BOT}}})",
                    legend="{{bot}}",
                ),
            ),
        ),
        Panel(
            title="Heartbeat age",
            description="Time since each bot finished a whole trading pass: it grows when the loop "
            "is stuck, even if the bot still answers.",
            unit="s",
            thresholds=((None, GREEN), (5.0, RED)),
            queries=(
                Query(
                    expr="time() - max by (bot) "
                    f"(trading_bot_heartbeat_timestamp_seconds{{{OF_BOT}}})",
                    legend="{{bot}}",
                ),
            ),
        ),
    ),
)

BROKER = Row(
    title="The broker session (TradingBotBrokerDisconnected)",
    panels=(
        Panel(
            title="Broker session",
            description="Whether the bot says that its broker session works. Five seconds down "
            "raise TradingBotBrokerDisconnected.",
            unit="short",
            look=Look.TIMELINE,
            thresholds=GOOD_AT_ONE,
            states=UP,
            queries=(
                Query(
                    expr=f'max by (bot) (trading_component_up{{component="broker",{OF_BOT}}})',
                    legend="{{bot}}",
                ),
            ),
            runbook="TradingBotBrokerDisconnected",
        ),
        Panel(
            title="Circuit breakers",
            description="State of each component's circuit breaker: open means that it has stopped "
            "trying for a while.",
            unit="short",
            look=Look.TIMELINE,
            thresholds=((None, GREEN), (1.0, YELLOW), (2.0, RED)),
            states=(("0", "closed", GREEN), ("1", "half-open", YELLOW), ("2", "open", RED)),
            queries=(
                Query(
                    expr=f"max by (bot, component) (trading_circuit_breaker_state{{{OF_BOT}}})",
                    legend="{{bot}} {{component}}",
                ),
            ),
        ),
        Panel(
            title="Requests to the venue",
            description="Requests per second, by how they ended. Anything but ok deserves a look: "
            "unauthorized is the key, rate_limited is too many.",
            unit="reqps",
            thresholds=PLAIN,
            queries=(
                Query(
                    expr="sum by (code) "
                    f"(rate(trading_venue_requests_total{{{OF_BOT}}}[$__rate_interval]))",
                    legend="{{code}}",
                ),
            ),
        ),
    ),
)

FEED = Row(
    title="Market data (TradingBotMarketDataStale)",
    panels=(
        Panel(
            title="Age of the newest tick",
            description="Time since the last tick of each symbol. All symbols of a bot beyond 5 s "
            "raise TradingBotMarketDataStale.",
            unit="s",
            thresholds=((None, GREEN), (5.0, RED)),
            queries=(
                Query(
                    expr="time() - max by (bot, symbol) "
                    f"(trading_market_data_timestamp_seconds{{{OF_BOT}}})",
                    legend="{{bot}} {{symbol}}",
                ),
            ),
            runbook="TradingBotMarketDataStale",
        ),
        Panel(
            title="Latency of ticks",
            description="From the venue's time stamp until the bot saw the tick: half of them, and "
            "99 of 100, were faster.",
            unit="s",
            thresholds=((None, GREEN), (1.0, YELLOW)),
            queries=tuple(
                Query(
                    expr=f"histogram_quantile({quantile}, sum by (le) (rate("
                    f"trading_market_data_latency_seconds_bucket{{{OF_BOT}}}[$__rate_interval])))",
                    legend=legend,
                )
                for quantile, legend in ((0.5, "half"), (0.99, "99 of 100"))
            ),
        ),
        Panel(
            title="Ticks",
            description="Ticks per second of each symbol. Zero with an open connection is the "
            "fault that this row is about.",
            unit="cps",
            thresholds=PLAIN,
            queries=(
                Query(
                    expr="sum by (bot, symbol) "
                    f"(rate(trading_market_data_messages_total{{{OF_BOT}}}[$__rate_interval]))",
                    legend="{{bot}} {{symbol}}",
                ),
            ),
        ),
    ),
)

ROWS = (STATE, BOT, BROKER, FEED, LOSSES, RECORDS, RECOVERY)
