"""The job that reports recommended changes of databases and connection pools."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from trading_ops import clock, logs
from trading_ops.backup import sqlite
from trading_ops.backup.sources import sources
from trading_ops.clients.http import session_of
from trading_ops.clients.monitoring import Monitoring
from trading_ops.clients.prometheus import Prometheus
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain import database_advice as advice
from trading_ops.domain.report import FINDING_KINDS, Finding
from trading_ops.errors import ClientError, ConfigError
from trading_ops.jobs.job import Context, JobResult, Plan, PlannedStep
from trading_ops.jobs.work import findings
from trading_ops.jobs.work.databases import MaintainedDatabase, databases, of_each
from trading_ops.store import Connection, care, database_figures

log = logs.get(__name__)

KIND, _ = FINDING_KINDS
RECONCILER = "reconciler"
CHECK_EVERY = timedelta(days=28)
"""Interval of `integrity_check`, which reads each whole SQLite database."""

READ_SHARE = 0.5
"""Of the time limit, for the figures of PostgreSQL; `integrity_check` gets the rest."""

POOLS = {
    "size": 'max by (bot, pool) (trading_database_pool_size{job="trading-bot-detail"})',
    "peak": "max by (bot, pool) (max_over_time(sum by (bot, pool, instance) "
    '(trading_database_pool_connections{job="trading-bot-detail", state="in_use"})[1d:1m]))',
    "wait_p99": "histogram_quantile(0.99, sum by (bot, pool, le) "
    '(increase(trading_database_pool_wait_seconds_bucket{job="trading-bot-detail"}[1d])))',
    "hold_p95": "histogram_quantile(0.95, sum by (bot, pool, le) "
    '(increase(trading_database_pool_hold_seconds_bucket{job="trading-bot-detail"}[1d])))',
    # Seconds held in each second are the connections that were in use, on average.
    "needed": "max_over_time(sum by (bot, pool) "
    '(rate(trading_database_pool_hold_seconds_sum{job="trading-bot-detail"}[5m]))[1d:5m])',
}
"""PromQL of each figure of a pool."""


@dataclass(frozen=True, kw_only=True)
class DatabaseReport:
    """Reads figures and compares them with those of earlier reports; changes nothing."""

    now: Callable[[], datetime] = clock.now

    async def plan(self, context: Context) -> Plan:
        """Return the parts of the report."""
        reports = await findings.earlier(context, KIND)
        opened, _, _ = await databases(context)
        steps = [
            PlannedStep(
                database.named("read the figures of PostgreSQL"),
                "unused indexes, slower statements, vacuum",
            )
            for database in opened
        ]
        if _is_due(reports, self.now()):
            steps.append(
                PlannedStep("run integrity_check", f"the last one is over {CHECK_EVERY.days} d ago")
            )
        return Plan(
            (*steps, PlannedStep("read the figures of connection pools", "too small or too large"))
        )

    async def run(self, context: Context) -> JobResult:
        """Make the report."""
        now = self.now()
        reports = await findings.earlier(context, KIND)
        found: list[Finding] = []
        facts: dict[str, Any] = {}
        opened, problems, _ = await databases(context)
        advice_on = partial(_advice, context, reports, now)
        advised, failed = await of_each(opened, advice_on, within=READ_SHARE * context.timeout)
        problems += failed
        for database, (mine, recorded) in advised:
            found += [replace(finding, text=database.named(finding.text)) for finding in mine]
            if database.bot is None:
                facts |= recorded
            else:
                facts.setdefault("bots", {})[database.bot] = recorded
        found += [
            Finding(topic="database", subject="not read", text=why, fails=True) for why in problems
        ]
        facts["integrity_checked_at"] = next(map(_checked_at, reports), None)
        if _is_due(reports, now):
            found += await asyncio.to_thread(_check, context.settings)
            facts["integrity_checked_at"] = now.isoformat()
        pools, facts["pools"] = await _pools(context.settings)
        found += advice.pools(pools)
        return await findings.record(context, KIND, found, now=now, facts=facts)


def _of_bot(report: findings.Recorded, bot: str | None) -> findings.Recorded:
    """Return a report with the facts of one database only."""
    if bot is None:
        return report
    return findings.Recorded(at=report.at, after=(report.after.get("bots") or {}).get(bot) or {})


async def _advice(
    context: Context,
    reports: Sequence[findings.Recorded],
    now: datetime,
    database: MaintainedDatabase,
) -> tuple[list[Finding], dict[str, Any]]:
    """Return the findings about a database, and the facts for the next report."""
    figures = await database.read(context, partial(database_figures.read, now=now))
    earlier = (_snapshot(_of_bot(report, database.bot)) for report in reports)
    snapshots = [snapshot for snapshot in earlier if snapshot is not None]
    day = advice.day_of_statements(figures, snapshots)
    found = [
        *advice.unused_indexes(figures, snapshots),
        *advice.slower_statements(day),
        *advice.autovacuum(figures.tables),
    ]
    return found, _facts(figures, day) | {"index_bytes": await database.read(context, _index_bytes)}


def _index_bytes(connection: Connection) -> dict[str, float]:
    """Return the bytes per row of each index, by its id: the baseline of database_reindex."""
    return {str(size.id): round(size.bytes_per_row, 2) for size in care.index_sizes(connection)}


def _facts(figures: advice.DatabaseFigures, day: Sequence[advice.DayOfStatement]) -> dict[str, Any]:
    statements = figures.statements
    return {
        "scans": {index.name: index.scans for index in figures.indexes},
        "statements": None
        if statements is None
        else {
            statement.id: [statement.calls, round(statement.milliseconds, 3)]
            for statement in statements
        },
        "top": [
            {
                "statement": statement.text,
                "calls": statement.calls,
                "mean_ms": round(statement.mean_ms, 3),
                "share": round(statement.share, 3),
            }
            for statement in day[: advice.TOP]
        ],
    }


def _snapshot(report: findings.Recorded) -> advice.ReportSnapshot | None:
    scans = report.after.get("scans")
    if not isinstance(scans, dict):
        return None
    statements = report.after.get("statements") or {}
    return advice.ReportSnapshot(
        at=report.at,
        scans=scans,
        statements={
            key: (int(figures[0]), float(figures[1])) for key, figures in statements.items()
        },
    )


def _checked_at(report: findings.Recorded) -> str | None:
    at = report.after.get("integrity_checked_at")
    return str(at) if at else None


def _is_due(reports: Sequence[findings.Recorded], now: datetime) -> bool:
    checked = _checked_at(reports[0]) if reports else None
    return checked is None or now - datetime.fromisoformat(checked) >= CHECK_EVERY


def _check(settings: Settings) -> list[Finding]:
    """Run `integrity_check` on each SQLite database in `var`, while programs use it."""
    found = []
    for source in sources(settings, secrets=False):
        try:
            if not sqlite.is_database(source.path):
                continue
        except OSError:
            continue  # removed since it was listed
        found += [
            Finding(
                topic="damaged database",
                subject=source.name,
                text=f"{problem}: see the runbook TradingDatabaseCorrupt",
                fails=True,
            )
            for problem in sqlite.check(source.path)
        ]
    return found


async def _pools(settings: Settings) -> tuple[list[advice.PoolUse], str]:
    """Return the pools of the bots, and what is unknown about them."""
    try:
        registry = await asyncio.to_thread(load_targets, settings.targets_file)
        async with session_of(settings, name=RECONCILER) as session:
            prometheus = Prometheus(
                Monitoring(session, settings, registry, name=RECONCILER).reports_prometheus()
            )
            read = {name: await prometheus.query(query) for name, query in POOLS.items()}
    except (ClientError, ConfigError) as error:
        log.warning("database_report_without_pools", error=str(error))
        return [], f"not read: {error}"
    values: dict[tuple[str, str], dict[str, float]] = {}
    for name, samples in read.items():
        for sample in samples:
            key = sample.labels.get("bot", ""), sample.labels.get("pool", "")
            values.setdefault(key, {})[name] = sample.value
    return [
        _pool(bot, pool, figures)
        for (bot, pool), figures in sorted(values.items())
        if set(figures) == set(POOLS)
    ], "read"


def _pool(bot: str, pool: str, values: Mapping[str, float]) -> advice.PoolUse:
    return advice.PoolUse(
        bot=bot,
        pool=pool,
        size=int(values["size"]),
        peak=int(values["peak"]),
        wait_p99=values["wait_p99"],
        hold_p95=values["hold_p95"],
        needed=values["needed"],
    )


DATABASE_REPORT = DatabaseReport()
