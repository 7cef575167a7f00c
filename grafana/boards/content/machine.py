"""Processes and network of the host."""

from grafana.boards.panels import above, below, lines, row, steps, timeline
from grafana.boards.words import down_or_all, forecast, most, rate

PROCESSES = row(
    "Processes",
    (
        timeline(
            "Processes up",
            down_or_all("process", "trading_process_up"),
            "{{process}}",
            "Processes that the exporter monitors: each one that was down in the time range, "
            "and all others in one band.",
            limits=below(1),
            runbook="TradingOpsReconcilerDown",
        ),
        lines(
            "CPU by process",
            "percentunit",
            rate("trading_process_cpu_seconds_total", "process"),
            "Ratio of one CPU.",
            limits=above(0.8, 0.95),
            runbook="TradingHostCpuHigh",
        ),
        lines(
            "Memory by process",
            "bytes",
            most("trading_process_resident_bytes", "process"),
            "Resident memory (RSS), including shared pages.",
            limits=above(300 * 2**20, 512 * 2**20),
            runbook="TradingBotMemoryHigh",
        ),
        lines(
            "Open files by process",
            "percentunit",
            most("trading_process_open_files / trading_process_open_files_limit", "process"),
            "Ratio of the process's limit. Shows connection leaks.",
            limits=above(0.5, 0.8),
        ),
    ),
    (
        lines(
            "CPU wait by process",
            "percentunit",
            rate("trading_process_cpu_wait_seconds_total", "process"),
            "Time per second in which threads of the process waited for a CPU. If many wait, the "
            "process at the top of *CPU by process* is the cause.",
            limits=above(0.2, 0.5),
            runbook="TradingBotNoisyNeighbor",
        ),
        lines(
            "Bot memory forecast, 24 h",
            "bytes",
            {
                **forecast("trading_memory_uss_bytes", "bot"),
                **most("bot:trading_memory_uss_bytes:limit", "bot", called="limit"),
            },
            "Linear forecast from the last 6 h, as a ratio of each bot's limit.",
            runbook="TradingBotMemoryLimitForecast",
        ),
        lines(
            "Collector duration",
            "s",
            most("trading_exporter_collector_duration_seconds", "collector"),
            "Last run of each collector, including failed ones.",
            limits=above(0.5, 5),
            runbook="TradingOpsCollectorFailing",
        ),
        timeline(
            "Collectors up",
            down_or_all("collector", "trading_exporter_collector_up"),
            "{{collector}}",
            "Whether each collector's last run succeeded: each one that failed in the time range, "
            "and all others in one band.",
            limits=below(1),
            runbook="TradingOpsCollectorFailing",
        ),
    ),
)

NETWORK = row(
    "Network",
    (
        lines(
            "Bytes",
            "Bps",
            {
                **rate("trading_host_network_received_bytes_total", "interface", called="received"),
                **rate("trading_host_network_sent_bytes_total", "interface", called="sent"),
            },
            "Per second, by interface.",
        ),
        steps(
            "Errors and drops",
            "pps",
            {
                "{{interface}} errors {{direction}}": "sum by (interface, direction) "
                "(rate(trading_host_network_errors_total[$__rate_interval]))",
                "{{interface}} drops {{direction}}": "sum by (interface, direction) "
                "(rate(trading_host_network_drops_total[$__rate_interval]))",
            },
            "Lost packets per second on this host.",
            limits=above(1, 10),
        ),
        lines(
            "Requests to Freqtrade",
            "reqps",
            {
                f"{by} {{{{bot}}}}": f"sum by (bot) (rate(trading_{name}_freqtrade_requests_total"
                "[$__rate_interval])) or on () vector(0)"
                for by, name in (("exporter", "exporter"), ("reconciler", "ops"))
            },
            "Requests of the exporter and the reconciler to each Freqtrade, per second.",
            limits=above(20),
        ),
    ),
)
