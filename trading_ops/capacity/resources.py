"""The planned resources: PromQL for their usage and limits.

`used` and `limit` are PromQL. A gauge is read as its maximum of an hour, so that peaks between two
samples count.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from trading_ops.capacity.limits import Thresholds

EXPORTER, VITAL = '{job="trading-exporter"}', '{job="trading-bot"}'
DETAIL, OURS = '{job="trading-bot-detail"}', '{job="trading-reconciler-detail"}'
OWN = '{job="prometheus"}'


class ResourceUnit(StrEnum):
    """The unit of a resource; prices are per unit."""

    BYTES = "GB"
    BYTES_PER_SECOND = "MB/s"
    SHARE = "share"
    SECONDS = "s"
    CPUS = "CPUs"
    COUNT = "count"


SCALE: Mapping[ResourceUnit, float] = {
    ResourceUnit.BYTES: 1e9,
    ResourceUnit.BYTES_PER_SECOND: 1e6,
    ResourceUnit.SHARE: 1.0,
    ResourceUnit.SECONDS: 1.0,
    ResourceUnit.CPUS: 1.0,
    ResourceUnit.COUNT: 1.0,
}
"""Base units of the metric per `ResourceUnit`."""


class CapacityRemedy(StrEnum):
    """What a recommendation changes."""

    ADD = "add"
    """More of the resource, such as disk or memory."""

    RAISE = "raise"
    """A setting that limits it, such as the size of a pool."""

    REDUCE = "reduce"
    """The load: the limit cannot be raised, or is a goal."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One kind of resource; each of its series is planned separately."""

    name: str
    used: str
    limit: str | float | None
    """PromQL, a constant in base units, or None: known only if `capacity.yml` has it."""

    unit: ResourceUnit
    by: tuple[str, ...]
    """Labels that identify its series."""

    thresholds: Thresholds
    remedy: CapacityRemedy
    change: str
    """What to change: the object of the remedy's verb."""

    saturation: str = ""
    """PromQL for the share of time in which something waited for the resource."""

    errors: str = ""
    """PromQL for the errors in the last hour because the resource was exhausted."""

    runbook: str = ""
    """The alert of its critical threshold."""

    def share(self, limit: float | None = None) -> str:
        """Return the PromQL of the used share of the limit, by the labels of the resource.

        Args:
            limit: takes the place of the resource's own.
        """
        by = ", ".join(self.by)
        total = limit or self.limit
        divisor = total if isinstance(total, float | int) else f"max by ({by}) ({total})"
        return f"max by ({by}) ({self.used}) / {divisor}"


def _levels(warning: float, critical: float) -> Thresholds:
    return Thresholds(warning=warning, critical=critical)


def _highest(metric: str, selector: str) -> str:
    return f"max_over_time({metric}{selector}[1h])"


def _waited(resource: str) -> str:
    some = f'{{job="trading-exporter", resource="{resource}", kind="some"}}'
    return f"sum by (instance) (rate(trading_host_pressure_seconds_total{some}[1h]))"


def _increase(metric: str, by: str, selector: str) -> str:
    return f"sum by ({by}) (increase({metric}{selector}[1h]))"


HOST: tuple[Resource, ...] = (
    Resource(
        name="cpu",
        used=(
            "(1 - min_over_time(instance:trading_host_cpu_seconds:idle_ratio_rate5m[1h]))"
            f" * on (instance, job) trading_host_cpus{EXPORTER}"
        ),
        limit=f"trading_host_cpus{EXPORTER}",
        unit=ResourceUnit.CPUS,
        by=("instance",),
        thresholds=_levels(0.8, 0.95),
        remedy=CapacityRemedy.ADD,
        change="CPUs",
        saturation=_waited("cpu"),
        runbook="TradingHostCpuHigh",
    ),
    Resource(
        name="memory",
        used=(
            f"trading_host_memory_size_bytes{EXPORTER}"
            f" - min_over_time(trading_host_memory_available_bytes{EXPORTER}[1h])"
        ),
        limit=f"trading_host_memory_size_bytes{EXPORTER}",
        unit=ResourceUnit.BYTES,
        by=("instance",),
        thresholds=_levels(0.85, 0.95),
        remedy=CapacityRemedy.ADD,
        change="memory",
        saturation=_waited("memory"),
        errors=_increase("trading_host_oom_kills_total", "instance", EXPORTER),
        runbook="TradingHostMemoryLow",
    ),
    Resource(
        name="disk",
        used=f"trading_host_disk_size_bytes{EXPORTER} - trading_host_disk_free_bytes{EXPORTER}",
        limit=f"trading_host_disk_size_bytes{EXPORTER}",
        unit=ResourceUnit.BYTES,
        by=("instance", "path"),
        thresholds=_levels(0.8, 0.95),
        remedy=CapacityRemedy.ADD,
        change="disk",
        saturation=_waited("io"),
        runbook="TradingHostDiskLow",
    ),
    Resource(
        name="inodes",
        used=f"trading_host_disk_inodes{EXPORTER} - trading_host_disk_inodes_free{EXPORTER}",
        limit=f"trading_host_disk_inodes{EXPORTER} > 0",
        unit=ResourceUnit.COUNT,
        by=("instance", "path"),
        thresholds=_levels(0.8, 0.95),
        remedy=CapacityRemedy.ADD,
        change="inodes (a larger file system)",
        runbook="TradingHostDiskLow",
    ),
    Resource(
        name="host-files",
        used=_highest("trading_host_open_files", EXPORTER),
        limit=f"trading_host_open_files_limit{EXPORTER}",
        unit=ResourceUnit.COUNT,
        by=("instance",),
        thresholds=_levels(0.6, 0.8),
        remedy=CapacityRemedy.RAISE,
        change="fs.file-max",
    ),
    Resource(
        name="process-files",
        used=_highest("trading_process_open_files", EXPORTER),
        limit=f"trading_process_open_files_limit{EXPORTER}",
        unit=ResourceUnit.COUNT,
        by=("instance", "process"),
        thresholds=_levels(0.6, 0.8),
        remedy=CapacityRemedy.RAISE,
        change="LimitNOFILE of the unit",
    ),
    Resource(
        name="network",
        used=(
            # The larger direction: a full-duplex link has its bandwidth in each.
            "max by (instance, interface) ("
            f"rate(trading_host_network_received_bytes_total{EXPORTER}[1h])"
            " or label_replace("
            f"rate(trading_host_network_sent_bytes_total{EXPORTER}[1h])"
            ', "direction", "sent", "", ""))'
        ),
        limit=None,
        unit=ResourceUnit.BYTES_PER_SECOND,
        by=("instance", "interface"),
        thresholds=_levels(0.6, 0.8),
        remedy=CapacityRemedy.ADD,
        change="bandwidth",
        errors=_increase("trading_host_network_drops_total", "instance, interface", EXPORTER),
    ),
    Resource(
        name="logs",
        used=_highest("trading_log_file_folder_size_bytes", EXPORTER),
        limit=None,
        unit=ResourceUnit.BYTES,
        by=("instance", "log"),
        thresholds=_levels(0.9, 1.0),
        remedy=CapacityRemedy.RAISE,
        change="log_folder_megabytes",
        runbook="TradingLogGrowthHigh",
    ),
)

DATABASES: tuple[Resource, ...] = (
    Resource(
        name="postgresql-connections",
        used=(
            f"max_over_time(trading_postgresql_connection_slots_used_ratio{EXPORTER}[1h])"
            f" * trading_postgresql_connection_slots{EXPORTER}"
        ),
        limit=f"trading_postgresql_connection_slots{EXPORTER}",
        unit=ResourceUnit.COUNT,
        by=("instance", "database"),
        thresholds=_levels(0.7, 0.85),
        remedy=CapacityRemedy.RAISE,
        change="max_connections",
        runbook="TradingPostgresqlConnectionsHigh",
    ),
    Resource(
        name="postgresql-size",
        used=f"trading_postgresql_size_bytes{EXPORTER}",
        limit=None,
        unit=ResourceUnit.BYTES,
        by=("instance", "database"),
        thresholds=_levels(0.8, 0.95),
        remedy=CapacityRemedy.ADD,
        change="disk for the database",
    ),
    Resource(
        name="postgresql-transaction-ids",
        used=f"trading_postgresql_xid_used_ratio{EXPORTER}",
        limit=1.0,
        unit=ResourceUnit.SHARE,
        by=("instance", "database"),
        thresholds=_levels(0.25, 0.5),
        remedy=CapacityRemedy.REDUCE,
        change="the age of the oldest transaction ID with VACUUM (FREEZE)",
    ),
    Resource(
        name="sqlite-size",
        used=f"trading_sqlite_size_bytes{EXPORTER}",
        limit=None,
        unit=ResourceUnit.BYTES,
        by=("instance", "database"),
        thresholds=_levels(0.8, 0.95),
        remedy=CapacityRemedy.ADD,
        change="disk for the database",
    ),
)

BOTS: tuple[Resource, ...] = (
    Resource(
        name="bot-memory",
        used=f"max by (bot, venue) (max_over_time(trading_memory_uss_bytes{DETAIL}[1h]))",
        limit="max by (bot, venue) (bot:trading_memory_uss_bytes:limit)",
        unit=ResourceUnit.BYTES,
        by=("bot", "venue"),
        thresholds=_levels(0.8, 1.0),
        remedy=CapacityRemedy.RAISE,
        change="the memory limit of the bot",
        runbook="TradingBotMemoryHigh",
    ),
    Resource(
        name="pool",
        used=(
            "max by (bot, venue, pool) (max_over_time("
            'trading_database_pool_connections{job="trading-bot-detail", state="in_use"}[1h]))'
        ),
        limit=f"max by (bot, venue, pool) (trading_database_pool_size{DETAIL})",
        unit=ResourceUnit.COUNT,
        by=("bot", "venue", "pool"),
        thresholds=_levels(0.8, 1.0),
        remedy=CapacityRemedy.RAISE,
        change="the size of the pool",
        errors=_increase("trading_database_pool_timeouts_total", "bot, venue, pool", DETAIL),
        runbook="TradingDatabasePoolExhausted",
    ),
    Resource(
        name="queue",
        used=f"max by (bot, venue, queue) (max_over_time(trading_queue_depth{DETAIL}[1h]))",
        limit=f"max by (bot, venue, queue) (trading_queue_capacity{DETAIL} > 0)",
        unit=ResourceUnit.COUNT,
        by=("bot", "venue", "queue"),
        thresholds=_levels(0.6, 0.8),
        remedy=CapacityRemedy.RAISE,
        change="the capacity of the queue",
        errors=_increase("trading_queue_dropped_total", "bot, venue, queue", DETAIL),
        runbook="TradingBotQueueBacklog",
    ),
    Resource(
        name="event-loop",
        used=(
            "max by (bot, venue) (max_over_time("
            f"avg_over_time(trading_event_loop_lag_seconds{VITAL}[15s])[1h:1m]))"
        ),
        limit=0.2,
        unit=ResourceUnit.SECONDS,
        by=("bot", "venue"),
        thresholds=_levels(0.5, 1.0),
        remedy=CapacityRemedy.REDUCE,
        change="the work between two awaits of the bot",
        runbook="TradingBotEventLoopLagging",
    ),
    Resource(
        name="rate-limit",
        used=(
            "max by (bot, venue, group) "
            f"(max_over_time(trading_venue_rate_limit_used_ratio{VITAL}[1h]))"
        ),
        limit=1.0,
        unit=ResourceUnit.SHARE,
        by=("bot", "venue", "group"),
        thresholds=_levels(0.6, 0.8),
        remedy=CapacityRemedy.REDUCE,
        change="the calls to the venue",
        errors=_increase(
            "trading_venue_requests_total",
            "bot, venue",
            '{job="trading-bot-detail", code="rate_limited"}',
        ),
        runbook="TradingBotRateLimitHigh",
    ),
)

MONITORING: tuple[Resource, ...] = (
    Resource(
        name="reconciler-queue",
        used=f"max by (instance) (max_over_time(trading_ops_writer_queue_requests{OURS}[1h]))",
        limit=1000.0,
        unit=ResourceUnit.COUNT,
        by=("instance",),
        thresholds=_levels(0.5, 1.0),
        remedy=CapacityRemedy.REDUCE,
        change="the time of a commit, with a faster disk under the database",
    ),
    Resource(
        name="prometheus-series",
        used=_highest("prometheus_tsdb_head_series", OWN),
        limit=None,
        unit=ResourceUnit.COUNT,
        by=("instance",),
        thresholds=_levels(0.8, 0.95),
        remedy=CapacityRemedy.ADD,
        change="memory for more series",
    ),
    Resource(
        name="prometheus-disk",
        used=f"prometheus_tsdb_storage_blocks_bytes{OWN}",
        limit=f"prometheus_tsdb_retention_limit_bytes{OWN} > 0",
        unit=ResourceUnit.BYTES,
        by=("instance",),
        thresholds=_levels(0.9, 1.0),
        remedy=CapacityRemedy.RAISE,
        change="--storage.tsdb.retention.size",
    ),
)

RESOURCES: tuple[Resource, ...] = (*HOST, *DATABASES, *BOTS, *MONITORING)
NAMES = frozenset(resource.name for resource in RESOURCES)
