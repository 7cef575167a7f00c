"""The machine: processors, memory, disks, processes, logs, and when they will be full."""

from grafana.boards import links
from grafana.boards.board import Board
from grafana.boards.content.machine import NETWORK, PROCESSES
from grafana.boards.content.series import OF_LEVELS
from grafana.boards.panels import above, below, lines, row, stack, stat, steps
from grafana.boards.words import forecast, least, most, rate

FREE = "trading_host_disk_free_bytes"
DAY = 24 * 3600

HEAD = row(
    "",
    (
        stat(
            "CPU",
            "percentunit",
            "max(1 - instance:trading_host_cpu_seconds:idle_ratio_rate5m)",
            "Of the busiest host, over five minutes.",
            limits=above(0.8, 0.95),
            decimals=0,
            runbook="TradingHostCpuHigh",
        ),
        stat(
            "Memory left",
            "percentunit",
            "min(trading_host_memory_available_bytes / trading_host_memory_size_bytes)",
            "Of the host that has least. At none the kernel kills a process, often the bot.",
            limits=below(0.05, 0.15),
            decimals=0,
            runbook="TradingHostMemoryLow",
        ),
        stat(
            "Disk left",
            "percentunit",
            f"min({FREE} / trading_host_disk_size_bytes)",
            "Of the file system that has least.",
            limits=below(0.05, 0.15),
            decimals=0,
            runbook="TradingHostDiskLow TradingBotDiskLow",
        ),
        stat(
            "Disk in 24 h",
            "percentunit",
            f"clamp_min(min(predict_linear({FREE}[6h], {DAY}) / trading_host_disk_size_bytes), 0)",
            "Where a straight line through the last six hours ends in a day. At 0 the disk is full "
            "by then.",
            limits=below(0.01, 0.15),
            decimals=0,
            runbook="TradingHostDiskFilling",
        ),
    ),
    (
        stat(
            "OOM kills",
            "short",
            "round(sum(increase(trading_host_oom_kills_total[1d])))",
            "Processes that the kernel killed in the last day because memory ran out.",
            limits=above(1),
            decimals=0,
            runbook="TradingHostMemoryLow",
        ),
        stat(
            "Read-only",
            "short",
            "sum(trading_host_disk_read_only)",
            "Disks that are mounted read-only, as Linux does after errors.",
            limits=above(1),
            decimals=0,
            runbook="TradingHostDiskReadOnly",
        ),
        stat(
            "Open files",
            "percentunit",
            "max(trading_host_open_files / trading_host_open_files_limit)",
            "Of what the kernel allows.",
            limits=above(0.5, 0.8),
            decimals=1,
        ),
        stat(
            "Collectors",
            "short",
            "sum(trading_exporter_collector_up == bool 0)",
            "Collectors of the exporter that fail. No alert on their metrics can fire.",
            limits=above(1),
            decimals=0,
            runbook="TradingOpsCollectorFailing",
        ),
    ),
)

WORK = row(
    "CPU and memory",
    (
        stack(
            "CPU by mode",
            "percentunit",
            {
                "{{instance}} {{mode}}": "sum by (instance, mode) (rate("
                'trading_host_cpu_seconds_total{mode!="idle"}[$__rate_interval])) '
                "/ on (instance) group_left () max by (instance) (trading_host_cpus)"
            },
            "Share of all CPUs, by mode.",
            limits=above(0.8, 0.95),
            runbook="TradingHostCpuHigh",
        ),
        lines(
            "Load",
            "short",
            {
                **most("trading_host_load1", "instance", called="1 min"),
                **most("trading_host_load15", "instance", called="15 min"),
                **most("trading_host_cpus", "instance", called="CPUs"),
            },
            "Tasks that run or wait. Above the number of CPUs some wait.",
            runbook="TradingHostCpuHigh",
        ),
        lines(
            "Memory",
            "bytes",
            {
                **most("trading_host_memory_available_bytes", "instance", called="available"),
                **most("trading_host_memory_size_bytes", "instance", called="total"),
                **most("trading_host_swap_used_bytes", "instance", called="swap used"),
            },
            "Memory that is available without swapping, and the total.",
            runbook="TradingHostMemoryLow",
        ),
        lines(
            "Memory in four hours",
            "bytes",
            forecast("trading_host_memory_available_bytes", "instance", over="1h", hours=4),
            "A straight line through the last hour. At 0 the kernel kills a process.",
            limits=below(1, 256 * 2**20),
            runbook="TradingHostMemoryLow",
        ),
    ),
)

DISKS = row(
    "Disks",
    (
        lines(
            "Free space",
            "bytes",
            {"{{path}}": f"min by (path) ({FREE})"},
            "What an unprivileged process can still write.",
            limits=below(2**30, 5 * 2**30),
            runbook="TradingHostDiskLow",
        ),
        lines(
            "Free space in a day",
            "bytes",
            {"{{path}}": f"clamp_min(min by (path) (predict_linear({FREE}[6h], {DAY})), 0)"},
            "A straight line through the last six hours. TradingHostDiskFilling fires when it "
            "stays at 0 for an hour and little is free.",
            limits=below(1, 2**30),
            runbook="TradingHostDiskFilling",
        ),
        lines(
            "Free inodes",
            "percentunit",
            least("trading_host_disk_inodes_free / trading_host_disk_inodes", "path"),
            "A disk can be full of small files.",
            limits=below(0.05, 0.15),
            runbook="TradingHostDiskLow",
        ),
        lines(
            "Read and written",
            "Bps",
            {
                **rate("trading_host_disk_read_bytes_total", "device", called="read"),
                **rate("trading_host_disk_written_bytes_total", "device", called="written"),
            },
            "Bytes per second, by device.",
        ),
    ),
    (
        lines(
            "Logs written",
            "Bps",
            rate("trading_log_file_written_bytes_total", "log"),
            "A MiB a second for half a minute raises TradingLogGrowthHigh.",
            limits=above(512 * 1024, 2**20),
            runbook="TradingLogGrowthHigh",
        ),
        lines(
            "Size of the logs",
            "bytes",
            {
                **most("trading_log_file_folder_size_bytes", "log"),
                "{{log}} in a day": "max by (log) "
                f"(clamp_min(predict_linear(trading_log_file_folder_size_bytes[6h], {DAY}), 0))",
            },
            "With rotated and compressed files; and where a straight line through the last six "
            "hours ends in a day.",
            limits=above(2**30, 5 * 2**30),
            runbook="TradingLogGrowthHigh",
        ),
        steps(
            "Lines logged",
            "cps",
            rate('trading_log_file_lines_total{level=~"warning|error|critical"}', "level"),
            "Lines per second of every process, warnings and above.",
            colors=OF_LEVELS,
            limits=above(1, 10),
            runbook="TradingLogGrowthHigh",
        ),
    ),
)

HOST = Board(
    uid=links.HOST,
    title="7 Host and resources",
    question="What does the machine run out of, and when? Which process takes it?",
    rows=(HEAD, WORK, DISKS, PROCESSES, NETWORK),
    window="now-3h",
    refresh="15s",
)
