"""Capacity: what runs out first, of the resources that `trading-ops capacity` plans."""

from collections.abc import Iterable

from grafana.boards import links
from grafana.boards.board import Board
from grafana.boards.panels import (
    GREEN,
    RED,
    YELLOW,
    Axis,
    Column,
    Panel,
    above,
    below,
    lines,
    row,
    stat,
    table,
)
from grafana.boards.words import most, rate
from trading_ops.capacity.resources import (
    BOTS,
    DATABASES,
    HOST,
    MONITORING,
    RESOURCES,
    Resource,
)

TILES = {
    "cpu": "CPU",
    "memory": "Memory",
    "disk": "Disk",
    "process-files": "Open files",
    "bot-memory": "Bot memory",
    "event-loop": "Event loop",
    "rate-limit": "Rate limits",
    "reconciler-queue": "Our queue",
}
"""Title of a figure, by resource: those that every installation has."""

STOCKS = frozenset(
    [
        "memory",
        "disk",
        "inodes",
        "host-files",
        "process-files",
        "postgresql-connections",
        "postgresql-transaction-ids",
        "bot-memory",
        "prometheus-disk",
    ]
)
"""Resources that fill up; the others are loads that come and go."""

LIMITED = tuple(resource for resource in RESOURCES if resource.limit is not None)
BY_NAME = {resource.name: resource for resource in RESOURCES}

NO_FORECAST, NO_GROWTH = -1, 3650
"""Values for what is not a number of days."""

LEVELS = (("0", "ok", GREEN), ("1", "warning", YELLOW), ("2", "critical", RED))

DAY = 24 * 3600
HISTORY = "[7d:2h]"
SAMPLES = 24
"""Two days of the history."""

SLOWEST = 1e-12
"""Growth per second below which a resource never fills up."""


def _level(resource: Resource) -> str:
    """Return the PromQL of the thresholds that are exceeded: 0, 1 or 2."""
    share, levels = resource.share(), resource.thresholds
    return f"({share} >= bool {levels.warning}) + ({share} >= bool {levels.critical})"


def _days(resource: Resource) -> str:
    """Return the PromQL of the days until the limit is reached at the growth of a week."""
    share = resource.share()
    if resource.name not in STOCKS:
        return f"0 * ({share}) + {NO_FORECAST}"
    growth = f"(deriv(({share}){HISTORY}) and count_over_time(({share}){HISTORY}) >= {SAMPLES})"
    days = f"clamp_min(1 - {share}, 0) / clamp_min({growth}, {SLOWEST}) / {DAY}"
    return f"(clamp_max({days}, {NO_GROWTH}) or 0 * ({share}) + {NO_FORECAST})"


def _all(resources: Iterable[Resource], figures: Iterable[str]) -> str:
    """Return the PromQL of all figures, by resource and by the distinguishing labels."""
    named = []
    for resource, figure in zip(resources, figures, strict=True):
        labels = ", ".join(f'"{label}"' for label in resource.by)
        expression = f'label_replace({figure}, "resource", "{resource.name}", "", "")'
        named.append(f'label_join({expression}, "series", " ", {labels})')
    return f"max by (resource, series) ({' or '.join(named)})"


def _tile(name: str) -> Panel:
    resource = BY_NAME[name]
    return stat(
        TILES[name],
        "percentunit",
        f"max({resource.share()})",
        f"`{name}`: share of the limit that is used, of the series that uses most of it, over the "
        "last hour.",
        limits=above(resource.thresholds.warning, resource.thresholds.critical),
        decimals=0,
        runbook=resource.runbook,
    )


def _shares(title: str, resources: Iterable[Resource], description: str) -> Panel:
    limited = [resource for resource in resources if resource.limit is not None]
    query = _all(limited, map(Resource.share, limited))
    return lines(title, "percentunit", {"{{resource}} {{series}}": query}, description)


NAMES = list(TILES)
HEAD = row("", [_tile(name) for name in NAMES[:4]], [_tile(name) for name in NAMES[4:]])

FIRST = row(
    "What runs out first",
    (
        table(
            "Resources",
            {
                "Used": (
                    _all(LIMITED, map(Resource.share, LIMITED)),
                    Column(unit="percentunit", decimals=0),
                ),
                "Level": (_all(LIMITED, map(_level, LIMITED)), Column(unit="short", states=LEVELS)),
                "Days to full": (
                    _all(LIMITED, map(_days, LIMITED)),
                    Column(
                        unit="short",
                        limits=below(7, 30),
                        decimals=0,
                        states=(
                            (str(NO_FORECAST), "no forecast", GREEN),
                            (str(NO_GROWTH), "no growth", GREEN),
                        ),
                    ),
                ),
            },
            "Share of the limit, the threshold that is exceeded, and the days until the limit is "
            "reached at the growth of the last week. No forecast: less than two days of data, or "
            "a load that does not accumulate. Click a resource for its recommendation, with the "
            "confidence interval and the calculation.",
            height=14,
            value_links=(links.RECOMMENDATIONS,),
            linked="resource",
            worst_first="Used",
            runbook="TradingCapacityWarning",
        ),
    ),
)

SHARES = row(
    "Used shares",
    (
        _shares("Hosts", HOST, "Share of the limit of each host, file system and process."),
        _shares("Bots", BOTS, "Share of the limit of each bot, pool, queue and rate limit."),
        _shares(
            "Databases and monitoring",
            (*DATABASES, *MONITORING),
            "Share of the limit of each database, of our queue and of Prometheus.",
        ),
    ),
)

SIZES = row(
    "Without a limit of their own",
    (
        lines(
            "Network by interface",
            "Bps",
            {
                **rate(
                    "trading_host_network_received_bytes_total",
                    "instance",
                    "interface",
                    called="received",
                ),
                **rate(
                    "trading_host_network_sent_bytes_total", "instance", "interface", called="sent"
                ),
            },
            "Set `limits.network` in `capacity.yml` to plan it.",
        ),
        lines(
            "Log folders",
            "bytes",
            most("trading_log_file_folder_size_bytes", "instance", "log"),
            "Size of each log with its rotated files.",
            axis=Axis.ZERO,
            runbook="TradingLogGrowthHigh",
        ),
        lines(
            "Database sizes",
            "bytes",
            most(
                "trading_postgresql_size_bytes or trading_sqlite_size_bytes", "instance", "database"
            ),
            "Set `limits.postgresql-size` or `limits.sqlite-size` in `capacity.yml` to plan them.",
        ),
        lines(
            "Series in Prometheus",
            "short",
            most("prometheus_tsdb_head_series", "instance"),
            "Set `limits.prometheus-series` in `capacity.yml` to plan them.",
        ),
    ),
)

CAPACITY = Board(
    uid=links.CAPACITY,
    title="9 Capacity",
    question="Which resource runs out first, when, and what should be added?",
    rows=(HEAD, FIRST, SHARES, SIZES),
    window="now-7d",
    refresh="5m",
)
