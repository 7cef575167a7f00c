"""The machine: processors, memory, disks, processes, logs, and when they will be full."""

from grafana.boards import links
from grafana.boards.board import Board
from grafana.boards.content.machine import NETWORK, PROCESSES
from grafana.boards.panels import above, below, lines, row, stat, steps
from grafana.boards.words import forecast, least, most, rate

FREE = "trading_host_disk_free_bytes"
DAY = 24 * 3600

HEAD = row(
    "",
    (
        stat(
            "Processors in use",
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
            "Disk left in a day",
            "percentunit",
            f"min(predict_linear({FREE}[6h], {DAY}) / trading_host_disk_size_bytes)",
            "Where a straight line through the last six hours ends in a day. Below 0 it is full by "
            "then.",
            limits=below(0, 0.15),
            decimals=0,
            runbook="TradingHostDiskFilling",
        ),
        stat(
            "Processes that the kernel killed",
            "short",
            "sum(increase(trading_host_oom_kills_total[1d]))",
            "In a day, because memory ran out.",
            limits=above(1),
            decimals=0,
            runbook="TradingHostMemoryLow",
        ),
        stat(
            "Disks that take no writes",
            "short",
            "sum(trading_host_disk_read_only)",
            "Linux mounts a disk with errors read-only.",
            limits=above(1),
            decimals=0,
            runbook="TradingHostDiskReadOnly",
        ),
        stat(
            "Files open",
            "percentunit",
            "max(trading_host_open_files / trading_host_open_files_limit)",
            "Of what the kernel allows.",
            limits=above(0.5, 0.8),
            decimals=1,
        ),
        stat(
            "Collectors that fail",
            "short",
            "count(trading_exporter_collector_up == 0) or vector(0)",
            "Of the exporter: no alert on their figures can fire.",
            limits=above(1),
            decimals=0,
            runbook="TradingOpsCollectorFailing",
        ),
    ),
)

WORK = row(
    "Processors and memory",
    (
        lines(
            "Processors",
            "percentunit",
            {
                "{{instance}} {{mode}}": "sum by (instance, mode) (rate("
                'trading_host_cpu_seconds_total{mode!="idle"}[$__rate_interval])) '
                "/ on (instance) group_left () max by (instance) (trading_host_cpus)"
            },
            "Share of all processors, by what they did.",
            limits=above(0.8, 0.95),
            runbook="TradingHostCpuHigh",
        ),
        lines(
            "Load",
            "short",
            {
                **most("trading_host_load1", "instance", called="one minute"),
                **most("trading_host_load15", "instance", called="fifteen"),
                **most("trading_host_cpus", "instance", called="processors"),
            },
            "Work that runs or waits. More than the processors: something waits.",
            runbook="TradingHostCpuHigh",
        ),
        lines(
            "Memory",
            "bytes",
            {
                **most("trading_host_memory_available_bytes", "instance", called="available"),
                **most("trading_host_memory_size_bytes", "instance", called="in all"),
                **most("trading_host_swap_used_bytes", "instance", called="swap used"),
            },
            "What can be had without swapping, of what there is.",
            runbook="TradingHostMemoryLow",
        ),
        lines(
            "Memory in four hours, at this pace",
            "bytes",
            forecast("trading_host_memory_available_bytes", "instance", over="1h", hours=4),
            "A straight line through the last hour. Below 0 the kernel will have killed a process.",
            limits=below(0, 256 * 2**20),
            runbook="TradingHostMemoryLow",
        ),
    ),
)

DISKS = row(
    "Disks",
    (
        lines(
            "Free",
            "bytes",
            {"{{path}}": f"min by (path) ({FREE})"},
            "What an unprivileged process can still write.",
            limits=below(2**30, 5 * 2**30),
            runbook="TradingHostDiskLow",
        ),
        lines(
            "Free in a day, at this pace",
            "bytes",
            {"{{path}}": f"min by (path) (predict_linear({FREE}[6h], {DAY}))"},
            "A straight line through the last six hours. TradingHostDiskFilling fires when it "
            "stays below 0 for an hour and little is free.",
            limits=below(0, 2**30),
            runbook="TradingHostDiskFilling",
        ),
        lines(
            "Files that can still be made",
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
            "A MiB a second for half a minute raises TradingLogGrowing.",
            limits=above(512 * 1024, 2**20),
            runbook="TradingLogGrowing",
        ),
        lines(
            "Size of the logs",
            "bytes",
            {
                **most("trading_log_file_folder_size_bytes", "log"),
                "{{log}} in a day": "max by (log) "
                f"(predict_linear(trading_log_file_folder_size_bytes[6h], {DAY}))",
            },
            "With rotated and compressed files; and where a straight line through the last six "
            "hours ends in a day.",
            limits=above(2**30, 5 * 2**30),
            runbook="TradingLogGrowing",
        ),
        steps(
            "Lines logged",
            "cps",
            rate('trading_log_file_lines_total{level=~"warning|error|critical"}', "level"),
            "Of every process, per second, from warnings up.",
            limits=above(1, 10),
            runbook="TradingLogGrowing",
        ),
    ),
)

HOST = Board(
    uid=links.HOST,
    title="Host and resources",
    question="What does the machine run out of, and when? Which process takes it?",
    rows=(HEAD, WORK, DISKS, PROCESSES, NETWORK),
    window="now-3h",
    refresh="15s",
)
