"""Venues and market data, as seen by the exporter and by the bots."""

from grafana.boards import links
from grafana.boards.board import Board
from grafana.boards.content.series import OF_CODES
from grafana.boards.panels import (
    BLUE,
    GREEN,
    PER_SECOND,
    YELLOW,
    Axis,
    above,
    apart,
    below,
    events,
    lines,
    row,
    stat,
    timeline,
)
from grafana.boards.words import age, gain, last_known, most, quantiles, rate

RESTRICTED = 'trading_venue_status{status!~"online|maintenance"}'
MAINTENANCE = 'trading_venue_status{status="maintenance"}'
NOT_OK = '{code!~"ok|refused"}'

HEAD = row(
    "",
    (
        stat(
            "Venues up",
            "percentunit",
            "avg(trading_venue_up)",
            "Ratio of venues that answer the exporter. Automation does not act on bots of the "
            "others.",
            limits=below(1),
            runbook="TradingVenueDown",
        ),
        stat(
            "Probe time",
            "s",
            "max(trading_venue_probe_duration_seconds)",
            "Duration of the slowest venue's probe.",
            limits=above(0.5, 2),
            runbook="TradingVenueDown",
        ),
        stat(
            "Clock skew",
            "s",
            "max(abs(trading_venue_clock_skew_seconds) or abs(trading_clock_skew_seconds))",
            "Largest difference between a venue's clock and a host's, measured by the exporter and "
            "the bots. Venues round their time to whole seconds, so up to one second is normal. "
            "Nonces and signatures depend on it.",
            limits=above(1, 2),
            decimals=2,
            runbook="TradingVenueClockSkewed",
        ),
        stat(
            "Failed calls",
            "percentunit",
            f"sum(rate(trading_venue_requests_total{NOT_OK}[$__rate_interval])) "
            "/ sum(rate(trading_venue_requests_total[$__rate_interval]))",
            "Ratio of all bots' requests that failed or were throttled.",
            limits=above(0.05, 0.1),
            decimals=1,
            runbook="TradingBotVenueErrorsHigh",
        ),
        stat(
            "Price age",
            "s",
            f"time() - min({last_known('trading_market_data_timestamp_seconds')})",
            "Age of the newest price, for the worst bot.",
            limits=above(3, 5),
            decimals=1,
            runbook="TradingBotMarketDataStale",
        ),
        stat(
            "Price lag",
            "s",
            "histogram_quantile(0.95, sum by (le) "
            "(bot:trading_market_data_latency_seconds_bucket:rate2m))",
            "From the venue's timestamp to the bot, p95. The SLO is 50 ms.",
            limits=above(0.05, 1),
            runbook="TradingBotMarketDataSlow",
        ),
    ),
)

OUTSIDE = row(
    "Venue probes",
    (
        timeline(
            "Venue answers",
            "max by (venue) (trading_venue_up)",
            "{{venue}}",
            "Whether it answers the exporter's probe, every second.",
            limits=below(1),
            runbook="TradingVenueDown",
        ),
        lines(
            "Probe duration",
            "s",
            most("trading_venue_probe_duration_seconds", "venue"),
            "Duration of the exporter's probe.",
            limits=above(0.5, 2),
            runbook="TradingVenueDown",
        ),
        lines(
            "Venue clock skew",
            "s",
            {
                **most("trading_venue_clock_skew_seconds", "venue", called="for the exporter"),
                "{{venue}} for {{bot}}": "max by (venue, bot) (trading_clock_skew_seconds)",
            },
            "The venue's clock minus this host's, measured by the exporter and by each bot. The "
            "sawtooth is the venue's rounding to whole seconds.",
            limits=apart(2),
            runbook="TradingVenueClockSkewed",
        ),
        lines(
            "Time since the last successful probe",
            "s",
            age("trading_venue_last_success_timestamp_seconds", "venue"),
            "Time since the exporter's probe last succeeded.",
            limits=above(3, 7),
            runbook="TradingVenueDown",
        ),
    ),
    (
        timeline(
            "Status that the venue reports",
            f"max by (venue) ({RESTRICTED} or {MAINTENANCE} * 2) "
            "and on (venue) max by (venue) (trading_venue_status) == 1",
            "{{venue}}",
            "Restricted: the venue accepts only some orders, such as cancel_only or post_only. "
            "Automation does not act on its bots during maintenance.",
            states=(
                ("0", "online", GREEN),
                ("1", "restricted", YELLOW),
                ("2", "maintenance", BLUE),
            ),
            limits=above(1, 2),
            runbook="TradingVenueMaintenance",
        ),
        timeline(
            "Open markets",
            "min by (venue, symbol) (trading_venue_market_open)",
            "{{venue}} {{symbol}}",
            "Whether a symbol is open for trading. If not, its price does not change.",
            states=(("0", "closed", YELLOW), ("1", "open", GREEN)),
            limits=below(1),
            runbook="TradingMarketClosed",
        ),
    ),
)

CALLS = row(
    "Requests of the bots",
    (
        lines(
            "Requests",
            "reqps",
            rate("trading_venue_requests_total", "code"),
            "Requests per second, by result. Unauthorized: the API key. Rate_limited: too many.",
            colors=OF_CODES,
            runbook="TradingBotRateLimited",
        ),
        lines(
            "Request latency",
            "s",
            quantiles("trading_venue_request_duration_seconds", "endpoint", of=(95,)),
            "From sending a request to its response or failure, p95. The SLO is 100 ms.",
            limits=above(0.1, 1),
            runbook="TradingErrorBudgetBurnFast",
        ),
        lines(
            "Rate limit usage",
            "percentunit",
            most("trading_venue_rate_limit_used_ratio", "bot", "group"),
            "By endpoint group, if the venue reports it.",
            limits=above(0.5, 0.8),
            runbook="TradingBotRateLimitHigh",
        ),
    ),
    (
        lines(
            "Nonces",
            "reqps",
            {
                **rate("trading_nonces_issued_total", "bot", called="issued"),
                **rate("trading_nonces_refused_total", "bot", called="refused"),
            },
            "Signed requests per second, and those rejected for an invalid nonce.",
            runbook="TradingBotNonceRefused",
        ),
        events(
            "Nonce resynchronizations",
            "short",
            gain("trading_nonce_resyncs_total", "bot"),
            "Nonce resynchronizations after a rejection.",
            limits=above(1, 3),
            runbook="TradingBotNonceRefused",
        ),
        events(
            "Session restarts",
            "short",
            gain("trading_venue_session_restarts_total", "bot"),
            "HTTP sessions with the venue opened after the first.",
            limits=above(1, 3),
            runbook="TradingBotBrokerDisconnected",
        ),
    ),
)

FEED = row(
    "Market data",
    (
        lines(
            "Age of the newest tick",
            "s",
            age("trading_market_data_timestamp_seconds", "bot", "symbol"),
            "Time since the last tick of each symbol. TradingBotMarketDataStale fires when all "
            "symbols of a bot exceed 5 s.",
            limits=above(3, 5),
            runbook="TradingBotMarketDataStale",
        ),
        lines(
            "Tick latency",
            "s",
            quantiles("trading_market_data_latency_seconds", "bot", of=(95,)),
            "From the venue's timestamp to the bot, p95.",
            limits=above(0.05, 1),
            runbook="TradingBotMarketDataSlow",
        ),
        lines(
            "Ticks",
            PER_SECOND,
            rate("trading_market_data_messages_total", "bot"),
            "Per second. Zero with an open connection means a stalled feed.",
            runbook="TradingBotMarketDataStale",
        ),
    ),
    (
        lines(
            "Prices",
            "percentunit",
            {
                "{{symbol}} {{bot}}": "max by (bot, symbol) (trading_market_data_price) "
                "/ max by (bot, symbol) (avg_over_time(trading_market_data_price[1h])) - 1"
            },
            "Deviation of each price from its mean of the past hour. A flat line is suspicious.",
            axis=Axis.FREE,
        ),
        events(
            "Feed reconnections",
            "short",
            gain("trading_market_data_reconnects_total", "bot"),
            "Reconnects of the market data feed.",
            limits=above(1, 3),
            runbook="TradingBotMarketDataStale",
        ),
        events(
            "Gaps in the private feed",
            "short",
            gain("trading_account_feed_gaps_total", "bot", "channel"),
            "Gaps in the sequence numbers of messages. After each one the bot reads its orders by "
            "REST.",
            limits=above(1, 3),
            runbook="TradingBotBalanceStale",
        ),
    ),
)

VENUE = Board(
    uid=links.VENUE,
    title="4 Venue and market data",
    question="Is it the venue, the network or our side? Does every bot get its prices, and in "
    "time?",
    rows=(HEAD, OUTSIDE, CALLS, FEED),
)
