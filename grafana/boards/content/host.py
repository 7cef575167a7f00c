"""The host: CPU, memory, disks, processes, logs, and forecasts."""

from grafana.boards import links
from grafana.boards.board import Board
from grafana.boards.content.machine import NETWORK, PROCESSES
from grafana.boards.content.series import OF_LEVELS
from grafana.boards.panels import PER_SECOND, above, below, lines, row, stack, stat, steps
from grafana.boards.words import forecast, least, linear, most, rate

FREE = "trading_host_disk_free_bytes"
DAY = 24 * 3600

HEAD = row(
    "",
    (
        stat(
            "CPU",
            "percentunit",
            "max(1 - instance:trading_host_cpu_seconds:idle_ratio_rate5m)",
            "Busiest host, over 5 min.",
            limits=above(0.8, 0.95),
            decimals=0,
            runbook="TradingHostCpuHigh",
        ),
        stat(
            "Memory free",
            "percentunit",
            "min(trading_host_memory_available_bytes / trading_host_memory_size_bytes)",
            "Host with the least. At 0 the OOM killer kills a process, often the bot.",
            limits=below(0.05, 0.15),
            decimals=0,
            runbook="TradingHostMemoryLow",
        ),
        stat(
            "Disk free",
            "percentunit",
            f"min({FREE} / trading_host_disk_size_bytes)",
            "File system with the least.",
            limits=below(0.05, 0.15),
            decimals=0,
            runbook="TradingHostDiskLow TradingBotDiskLow",
        ),
        stat(
            "Disk in 24 h",
            "percentunit",
            f"min(({linear(FREE)}) / trading_host_disk_size_bytes)",
            "Linear forecast for 24 h from the last 6 h. At 0 the disk will be full.",
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
            "OOM kills in the last day.",
            limits=above(1),
            decimals=0,
            runbook="TradingHostMemoryLow",
        ),
        stat(
            "Read-only",
            "short",
            "sum(trading_host_disk_read_only)",
            "File systems that are mounted read-only, as Linux does after disk errors.",
            limits=above(1),
            decimals=0,
            runbook="TradingHostDiskReadOnly",
        ),
        stat(
            "Open files",
            "percentunit",
            "max(trading_host_open_files / trading_host_open_files_limit)",
            "Ratio of the kernel's limit.",
            limits=above(0.5, 0.8),
            decimals=1,
        ),
        stat(
            "Collectors",
            "short",
            "sum(trading_exporter_collector_up == bool 0)",
            "Failing collectors of the exporter. Alerts on their metrics cannot fire.",
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
            "Ratio of all CPUs, by mode.",
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
            "Running and waiting tasks. Above the number of CPUs some wait.",
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
            "Memory available without swapping, and the total.",
            runbook="TradingHostMemoryLow",
        ),
        lines(
            "Memory forecast, 4 h",
            "bytes",
            forecast("trading_host_memory_available_bytes", "instance", over="1h", hours=4),
            "Linear forecast from the last hour. At 0 the OOM killer kills a process.",
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
            "Space available to unprivileged processes.",
            limits=below(2**30, 5 * 2**30),
            runbook="TradingHostDiskLow",
        ),
        lines(
            "Free space forecast, 24 h",
            "bytes",
            {"{{path}}": f"min by (path) ({linear(FREE)})"},
            "Linear forecast from the last 6 h. TradingHostDiskFilling fires when it stays at 0 "
            "for an hour and little space is free.",
            limits=below(1, 2**30),
            runbook="TradingHostDiskFilling",
        ),
        lines(
            "Free inodes",
            "percentunit",
            least("trading_host_disk_inodes_free / trading_host_disk_inodes", "path"),
            "Many small files can exhaust the inodes.",
            limits=below(0.05, 0.15),
            runbook="TradingHostDiskLow",
        ),
        lines(
            "Disk throughput",
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
            "Log growth",
            "Bps",
            rate("trading_log_file_written_bytes_total", "log"),
            "TradingLogGrowthHigh fires after 30 s above 1 MiB/s.",
            limits=above(512 * 1024, 2**20),
            runbook="TradingLogGrowthHigh",
        ),
        lines(
            "Log size",
            "bytes",
            {
                **most("trading_log_file_folder_size_bytes", "log"),
                **forecast("trading_log_file_folder_size_bytes", "log", called="in a day"),
            },
            "Including rotated and compressed files, with a linear forecast for 24 h from the last "
            "6 h.",
            limits=above(2**30, 5 * 2**30),
            runbook="TradingLogGrowthHigh",
        ),
        steps(
            "Lines logged",
            PER_SECOND,
            rate('trading_log_file_lines_total{level=~"warning|error|critical"}', "level"),
            "Log lines per second of every process, warnings and above.",
            colors=OF_LEVELS,
            limits=above(1, 10),
            runbook="TradingLogGrowthHigh",
        ),
    ),
)

HOST = Board(
    uid=links.HOST,
    title="7 Host and resources",
    question="Which resource of the host runs out, and when? Which process uses it?",
    rows=(HEAD, WORK, DISKS, PROCESSES, NETWORK),
    window="now-3h",
    refresh="15s",
)
