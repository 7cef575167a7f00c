"""Whether records and venue agree, and what the bots decide and sign with."""

from grafana.boards.panels import GREEN, OF_BOT, RED, Panel, Query, Row

RECORDS = Row(
    title="Records, nonces and signals (TradingBotPositionDrift)",
    panels=(
        Panel(
            title="Drift of positions",
            description="What the records have more than the venue, in base currency. Anything but "
            "0 that a second look confirms halts the bot until a person has settled it.",
            unit="short",
            width=6,
            thresholds=((None, GREEN),),
            queries=(
                Query(
                    expr=f"max by (bot, symbol) (trading_position_drift{{{OF_BOT}}})",
                    legend="{{bot}} {{symbol}}",
                ),
            ),
            runbook="TradingBotPositionDrift",
        ),
        Panel(
            title="Orphaned orders",
            description="Orders at the venue that are the bot's and not in its records.",
            unit="short",
            width=6,
            thresholds=((None, GREEN), (1, RED)),
            queries=(
                Query(
                    expr=f"max by (bot) (trading_orphaned_orders{{{OF_BOT}}})",
                    legend="{{bot}}",
                ),
            ),
            runbook="TradingBotOrphanedOrders",
        ),
        Panel(
            title="Nonces refused",
            description="Signed requests a second that the venue refused for their nonce.",
            unit="reqps",
            width=6,
            thresholds=((None, GREEN),),
            queries=(
                Query(
                    expr=f"sum by (bot) (rate(trading_nonces_refused_total{{{OF_BOT}}}"
                    "[$__rate_interval]))",
                    legend="{{bot}}",
                ),
            ),
            runbook="TradingBotNonceRefused",
        ),
        Panel(
            title="Age of the last signal",
            description="Since the last usable signal of each source.",
            unit="s",
            width=6,
            thresholds=((None, GREEN), (60, RED)),
            queries=(
                Query(
                    expr=f"time() - max by (bot, source) "
                    f"(trading_signal_timestamp_seconds{{{OF_BOT}}})",
                    legend="{{bot}} {{source}}",
                ),
            ),
            runbook="TradingBotSignalsStale",
        ),
    ),
)
