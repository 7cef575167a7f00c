"""The database report: on a real server, over weeks that a set clock lets pass."""

import asyncio
import contextlib
import json
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from sqlalchemy import make_url

from tests.databases import sqlite_only
from tests.postgres import Cluster
from trading_ops.config.settings import Settings
from trading_ops.domain.job import JobOutcome
from trading_ops.jobs.job import Context, JobResult
from trading_ops.jobs.schedule import Cron
from trading_ops.jobs.work import findings
from trading_ops.jobs.work.database_report import CHECK_EVERY, KIND, POOLS, DatabaseReport
from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

pytestmark = pytest.mark.processes

BEGIN = datetime(2026, 3, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)
ROWS = 60_000
CALLS = 150


class Days:
    """One installation, and a report on each day that a test names."""

    def __init__(self, context: Context) -> None:
        self.context = context

    async def report(self, day: int) -> JobResult:
        """Make the report of a day."""
        return await DatabaseReport(now=lambda: BEGIN + day * DAY).run(self.context)

    async def recorded(self) -> dict[str, Any]:
        """Return what the newest one recorded."""
        return (await findings.earlier(self.context, KIND))[0].after


TARGETS = """\
version: 1
targets:
  - {name: reconciler, kind: reconciler, address: "127.0.0.1:1"}
  - {name: prometheus, kind: prometheus, address: "127.0.0.1:2"}
  - {name: alertmanager, kind: alertmanager, address: "127.0.0.1:3"}
"""
BOTS = """\
  - {name: alpha, kind: bare_bot, address: "127.0.0.1:4", venue: kraken, database_file: alpha.url}
"""


@contextlib.asynccontextmanager
async def installed(folder: Path, url: str, *, bots: str = "") -> AsyncIterator[Days]:
    """Open an installation without a Prometheus."""
    (folder / "targets.yml").write_text(TARGETS + bots)
    writer, reader = Writer(writing_engine(url)), Reader(reading_engine(url))
    writer.start()
    settings = Settings(
        root=folder, var=folder / "var", database=url, targets_file=folder / "targets.yml"
    )
    try:
        yield Days(
            Context(
                schedule=Cron(expression="0 0 * * *"),
                settings=settings,
                writer=writer,
                reader=reader,
                timeout=timedelta(minutes=5),
            )
        )
    finally:
        reader.close()
        writer.stop()


@pytest.fixture(scope="module")
def counting() -> Iterator[Cluster]:
    """A server that counts statements."""
    with Cluster(fast=True, settings={"shared_preload_libraries": "pg_stat_statements"}) as cluster:
        yield cluster


@pytest.fixture
def url(counting: Cluster) -> str:
    """A database of it, whose role may read the statements."""
    made = counting.new_database()
    name = made.rpartition("/")[2]
    counting.execute("CREATE EXTENSION pg_stat_statements", name)
    counting.execute("GRANT pg_read_all_stats TO trading_ops")
    return made


@pytest.fixture
def session(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A session of a bot."""
    address = make_url(url).set(drivername="postgresql")
    with psycopg.connect(address.render_as_string(hide_password=False), autocommit=True) as made:
        yield made


def fill(session: psycopg.Connection[Any]) -> None:
    session.execute("CREATE TABLE orders (id int PRIMARY KEY, price int, venue int)")
    session.execute(
        f"INSERT INTO orders SELECT n, n, n FROM generate_series(1, {ROWS}) n"  # noqa: S608
    )
    session.execute("CREATE INDEX ix_orders_price ON orders (price)")
    session.execute("CREATE INDEX ix_orders_venue ON orders (venue)")
    session.execute("ANALYZE orders")


def trade(session: psycopg.Connection[Any]) -> None:
    """Ask for prices, as often as a day's mean needs."""
    for number in range(CALLS):
        session.execute("SELECT id FROM orders WHERE price = %s", (number,))
    # What sessions count becomes visible when they are idle; this makes it so at once.
    session.execute("SELECT pg_stat_force_next_flush()")


def of(result: JobResult) -> str:
    assert result.outcome is JobOutcome.DONE
    return result.detail


async def test_an_index_that_nothing_uses_is_reported_after_a_month(
    url: str, session: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """The other one is used; one that a constraint needs is never reported."""
    fill(session)
    async with installed(tmp_path, url) as days:
        assert "unused" not in of(await days.report(0))
        trade(session)
        assert "ix_orders" not in of(await days.report(29))
        findings = of(await days.report(31))
        assert "no query has used index ix_orders_venue" in findings
        assert "ix_orders_price" not in findings
        assert "orders_pkey" not in findings


async def test_a_statement_that_becomes_slow_is_reported(
    url: str, session: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """Its index is dropped on the third day; the report has the figures, and no constants."""
    fill(session)
    async with installed(tmp_path, url) as days:
        await days.report(0)
        for day in (1, 2):
            trade(session)
            assert "took" not in of(await days.report(day))
        session.execute("DROP INDEX ix_orders_price")
        trade(session)
        findings = of(await days.report(3))
        assert "SELECT id FROM orders WHERE price = $1 took" in findings
        top = (await days.recorded())["top"][0]
        assert (top["statement"], top["calls"]) == ("SELECT id FROM orders WHERE price = $1", CALLS)


async def test_autovacuum_that_is_off_is_reported_until_it_is_on(
    url: str, session: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """The advice is a statement that can be run as it is."""
    session.execute('CREATE TABLE "Quiet one" (id int) WITH (autovacuum_enabled = false)')
    async with installed(tmp_path, url) as days:
        findings = of(await days.report(0))
        assert 'autovacuum is off for "Quiet one"' in findings
        (advice,) = (finding["text"] for finding in (await days.recorded())["findings"])
        session.execute(advice.partition(": ")[2])
        assert of(await days.report(1)) == "no findings"


async def test_utility_statements_are_not_recorded(
    url: str, counting: Cluster, session: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """Their constants stay in their text, and may be passwords."""
    counting.execute("CREATE ROLE reader PASSWORD 'plain-to-see'", url.rpartition("/")[2])
    session.execute("SELECT 'plain-to-see'")
    async with installed(tmp_path, url) as days:
        for day in (0, 1):
            await days.report(day)
        recorded = json.dumps(
            [report.after for report in await findings.earlier(days.context, KIND)]
        )
    assert "plain-to-see" not in recorded


@sqlite_only
async def test_a_damaged_database_fails_the_report(database_url: str, tmp_path: Path) -> None:
    """`integrity_check` runs at most once in four weeks, on each SQLite database in `var`."""
    bot = tmp_path / "var" / "alpha" / "records.db"
    await asyncio.to_thread(_make_records, bot)
    async with installed(tmp_path, database_url) as days:
        assert of(await days.report(0)) == "no findings"
        await asyncio.to_thread(_damage, bot)
        assert of(await days.report(27)) == "no findings", "not due"
        result = await days.report(CHECK_EVERY.days)
        assert result.outcome is JobOutcome.FAILED
        assert "records.db" in result.detail


def _make_records(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, price INT)")
        database.execute("CREATE INDEX ix_price ON orders (price)")
        database.executemany("INSERT INTO orders VALUES (?, ?)", [(n, -n) for n in range(5000)])


def _damage(path: Path) -> None:
    """Drop the entries of the index, so that it disagrees with its table."""
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA writable_schema = 1")
        database.execute(
            "UPDATE sqlite_master SET sql = 'CREATE INDEX ix_price ON orders (id)'"
            " WHERE name = 'ix_price'"
        )


BOT = 'job="trading-bot-detail", instance="b:1", bot="alpha", pool="orders"'
SERIES = {
    f"trading_database_pool_size{{{BOT}}}": "10x1440",
    f'trading_database_pool_connections{{{BOT}, state="in_use"}}': "2x700 9x10 2x730",
    f'trading_database_pool_wait_seconds_bucket{{{BOT}, le="0.01"}}': "0+98x1440",
    f'trading_database_pool_wait_seconds_bucket{{{BOT}, le="0.02"}}': "0+100x1440",
    f'trading_database_pool_wait_seconds_bucket{{{BOT}, le="+Inf"}}': "0+100x1440",
    f'trading_database_pool_hold_seconds_bucket{{{BOT}, le="0.5"}}': "0+90x1440",
    f'trading_database_pool_hold_seconds_bucket{{{BOT}, le="1"}}': "0+100x1440",
    f'trading_database_pool_hold_seconds_bucket{{{BOT}, le="+Inf"}}': "0+100x1440",
    f"trading_database_pool_hold_seconds_sum{{{BOT}}}": "0+180x1440",
}
WANTED = {"size": 10, "peak": 9, "wait_p99": 0.015, "hold_p95": 0.75, "needed": 3}


def test_the_queries_of_pools_give_what_they_say(tmp_path: Path) -> None:
    """Held for 180 s in each minute, three connections are in use."""
    assert WANTED.keys() == POOLS.keys()
    tests = {
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": series, "values": two} for series, two in SERIES.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": POOLS[name],
                        "eval_time": "24h",
                        "exp_samples": [{"labels": '{bot="alpha", pool="orders"}', "value": value}],
                    }
                    for name, value in WANTED.items()
                ],
            }
        ]
    }
    path = tmp_path / "pools.yml"
    path.write_text(yaml.safe_dump(tests))
    done = subprocess.run(
        ["promtool", "test", "rules", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


async def test_the_database_of_a_bot_has_its_own_findings_and_baselines(
    url: str, counting: Cluster, session: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """Ours is another one, and is not reported."""
    session.execute("CREATE TABLE quiet (id int) WITH (autovacuum_enabled = false)")
    fill(session)
    (tmp_path / "alpha.url").write_text(url)
    (tmp_path / "alpha.url").chmod(0o600)
    ours = counting.new_database()
    async with installed(tmp_path, ours, bots=BOTS) as days:
        assert "alpha: autovacuum is off for quiet" in of(await days.report(0))
        recorded = await days.recorded()
        assert recorded["index_bytes"] == {}
        assert len(recorded["bots"]["alpha"]["index_bytes"]) == 3
        findings = of(await days.report(31))
        assert "alpha: no query has used index ix_orders_venue" in findings
