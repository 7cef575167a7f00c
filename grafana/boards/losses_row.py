"""What the bots have lost, and how much of their own limits is used."""

from grafana.boards.panels import GREEN, OF_BOT, RED, YELLOW, Panel, Query, Row

LOSSES = Row(
    title="Losses (TradingFleetDailyLossBreached)",
    panels=(
        Panel(
            title="Lost today",
            description="What each bot has lost since its trading day began, in units of the "
            "currency. When all together are over the limit of the fleet, every bot is halted.",
            unit="short",
            thresholds=((None, GREEN),),
            queries=(
                Query(
                    expr=f"max by (bot, currency) (trading_daily_loss{{{OF_BOT}}})",
                    legend="{{bot}} {{currency}}",
                ),
            ),
            runbook="TradingFleetDailyLossBreached",
        ),
        Panel(
            title="Use of the bots' own limits",
            description="From 100 % on a bot denies the order, or is held: by daily_loss it is "
            "reducing, by total_drawdown it is halted, both until a person lifts that.",
            unit="percentunit",
            thresholds=((None, GREEN), (0.8, YELLOW), (1.0, RED)),
            queries=(
                Query(
                    expr=f"max by (bot, limit) (trading_risk_limit_used_ratio{{{OF_BOT}}})",
                    legend="{{bot}} {{limit}}",
                ),
            ),
        ),
        Panel(
            title="Below the best result",
            description="How far each bot's result is below its highest, in units of the currency.",
            unit="short",
            thresholds=((None, GREEN),),
            queries=(
                Query(
                    expr=f"max by (bot, currency) (trading_drawdown{{{OF_BOT}}})",
                    legend="{{bot}} {{currency}}",
                ),
            ),
        ),
    ),
)
