"""The last row of the overview: what the recovery itself did, and did not do."""

from grafana.boards.panels import GREEN, RED, WATCHED, YELLOW, Look, Panel, Query, Row

PLAIN = ((None, GREEN),)

RECOVERY = Row(
    title="Recovery",
    panels=(
        Panel(
            title="Attempts",
            description="What the reconciler ran, by action and outcome. Failed ones are followed "
            "by the runbook's next step.",
            unit="short",
            look=Look.STEPS,
            thresholds=PLAIN,
            queries=(
                Query(
                    expr="sum by (action, outcome) "
                    f"(increase(trading_ops_attempts_total{{{WATCHED}}}[$__rate_interval]))",
                    legend="{{action}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            title="Decisions",
            description="What the reconciler decided, by decision and reason.",
            unit="short",
            look=Look.STEPS,
            thresholds=PLAIN,
            queries=(
                Query(
                    expr="sum by (decision, reason) "
                    f"(increase(trading_ops_decisions_total{{{WATCHED}}}[$__rate_interval]))",
                    legend="{{decision}}: {{reason}}",
                ),
            ),
        ),
        Panel(
            title="Why nothing was done",
            description="Decisions to wait, by reason: paused, blocked by a venue, cooling down, "
            "silenced. They are recorded in the incident too.",
            unit="short",
            look=Look.STEPS,
            thresholds=PLAIN,
            queries=(
                Query(
                    expr="sum by (reason) (increase(trading_ops_decisions_total"
                    f'{{decision="wait",{WATCHED}}}[$__rate_interval]))',
                    legend="{{reason}}",
                ),
            ),
        ),
        Panel(
            title="Time to recover",
            description="From the opening of an incident to its end: half of them, and 9 of 10, "
            "were faster.",
            unit="s",
            thresholds=((None, GREEN), (60.0, YELLOW), (300.0, RED)),
            queries=tuple(
                Query(
                    expr=f"histogram_quantile({quantile}, sum by (le) (increase("
                    f"trading_ops_recovery_duration_seconds_bucket{{{WATCHED}}}[1h])))",
                    legend=legend,
                )
                for quantile, legend in ((0.5, "half"), (0.9, "9 of 10"))
            ),
        ),
        Panel(
            title="Notifications",
            description="Webhook notifications per second, by what became of them. Anything but "
            "stored is refused, and Alertmanager tries it again.",
            unit="cps",
            thresholds=PLAIN,
            queries=(
                Query(
                    expr="sum by (result) "
                    f"(rate(trading_ops_notifications_total{{{WATCHED}}}[$__rate_interval]))",
                    legend="{{result}}",
                ),
            ),
        ),
        Panel(
            title="Age of what the reconciler knows",
            description="Time since it last read Prometheus and Alertmanager (every 15 s), and "
            "since it saw Watchdog (every 60 to 75 s; missing after 180).",
            unit="s",
            thresholds=((None, GREEN), (90.0, YELLOW), (180.0, RED)),
            queries=(
                Query(
                    expr="time() - max by (source) "
                    f"(trading_ops_poll_last_success_timestamp_seconds{{{WATCHED}}})",
                    legend="{{source}}",
                ),
                Query(
                    expr="time() - "
                    f"max(trading_ops_watchdog_last_seen_timestamp_seconds{{{WATCHED}}})",
                    legend="watchdog",
                ),
            ),
            runbook="Watchdog",
        ),
    ),
)
