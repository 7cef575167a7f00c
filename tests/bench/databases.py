"""What one reading of a database or of log files costs: time of it, and of the server's processor.

    .venv/bin/python -m tests.bench.databases

PostgreSQL is a real server with many tables; the SQLite file is in use, in WAL mode.
"""

import asyncio
import json
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg

from tests.bench.say import p50_p99, say
from tests.postgres import Cluster
from trading_ops.exporter.config import LogFilesEntry, PostgresqlEntry, SqliteEntry
from trading_ops.exporter.databases.postgresql.source import Postgresql, PostgresqlStorage
from trading_ops.exporter.databases.sqlite.figures import check
from trading_ops.exporter.databases.sqlite.source import Sqlite
from trading_ops.exporter.log_files.source import LogFiles

TABLES = (10, 1000)
READINGS = 100
FILL = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
    "INSERT INTO t SELECT NULL, hex(randomblob(100)) FROM n"
)
LINES = 3000
"""New lines for each reading of the log: 200 a second at the default interval."""


async def measure(name: str, read: Callable[[], Awaitable[None]], times: int = READINGS) -> None:
    """Print the time of a reading, and what of it is our own processor's."""
    await read()
    spent, began = [], time.process_time()
    for _ in range(times):
        start = time.perf_counter()
        await read()
        spent.append(time.perf_counter() - start)
    own = (time.process_time() - began) / times * 1000
    p50, p99 = p50_p99(spent)
    say(f"  {name:<46} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   ours {own:6.2f} ms")


async def postgresql(folder: Path, cluster: Cluster, tables: int) -> None:
    """Measure both sources on a database of so many tables with three indexes each."""
    url = cluster.new_database(migrated=False)
    with psycopg.connect(url, autocommit=True) as owner:
        for number in range(tables):
            owner.execute(f"CREATE TABLE t{number} (a int PRIMARY KEY, b text, c int)")
            owner.execute(f"CREATE INDEX ON t{number} (b)")
            owner.execute(f"CREATE INDEX ON t{number} (c)")
        for number in range(min(tables, 5)):
            fill = "SELECT g, 'x' || g, g FROM generate_series(1, 50000) AS g"
            owner.execute(f"INSERT INTO t{number} {fill}")
        owner.execute("VACUUM ANALYZE")
    dsn = folder / "dsn"
    dsn.write_text(url)
    entry = PostgresqlEntry(name="bench", dsn_file=dsn)
    activity, storage = Postgresql(entry), PostgresqlStorage(entry)
    await measure(f"PostgreSQL, activity, {tables} tables", activity.read)
    before = _processor_seconds(cluster)
    for _ in range(READINGS):
        await activity.read()
    server = (_processor_seconds(cluster) - before) / READINGS * 1000
    say(f"  {'  of the server':<46} {server:11.2f} ms")
    await measure(f"PostgreSQL, storage, {tables} tables", storage.read, READINGS // 2)
    activity.close()
    cluster.drop(url)


def _processor_seconds(cluster: Cluster) -> float:
    """Return the time of the server's processes that live."""
    times = [process.cpu_times() for process in cluster._family()]
    return sum(spent.user + spent.system for spent in times)


async def sqlite(folder: Path) -> None:
    """Measure a reading, and a check, of a file that another process has open."""
    path = folder / "bot.db"
    entry = SqliteEntry(name="bench", path=path, check_interval_seconds=0)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode=wal")
    writer.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
    writer.execute("CREATE INDEX i ON t (b)")
    for rows in (10_000, 200_000):
        writer.execute(FILL.format(rows))
        megabytes = path.stat().st_size / 2**20
        await measure(f"SQLite, {megabytes:.0f} MiB", Sqlite(entry).read)
        start = time.perf_counter()
        damage = check(entry)
        took = (time.perf_counter() - start) * 1000
        say(f"  {'  quick_check':<46} {took:11.2f} ms   {'damaged' if damage else 'ok'}")
    writer.close()


async def log_files(folder: Path) -> None:
    """Measure a reading with new lines each time, and one without."""
    path = folder / "bot.log"
    path.touch()
    source = LogFiles(LogFilesEntry(name="bench", paths=(path,), max_read_bytes=8 * 2**20))
    line = json.dumps({"event": "order_placed", "level": "info", "symbol": "BTC/USD", "n": 1.5})
    block = f"{line}\n" * LINES

    async def grown() -> None:
        with path.open("a") as file:
            file.write(block)
        await source.read()

    await measure("log file, nothing new", source.read)
    await measure(f"log file, {LINES} new lines", grown)


async def main() -> None:
    """Measure everything."""
    say("One reading, wall clock (ours: our own processor's part of it)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Cluster(fast=True, settings={"max_locks_per_transaction": "256"}) as cluster:
            cluster.new_database(migrated=False)  # with it the role is made
            cluster.execute("GRANT pg_read_all_stats TO trading_ops")
            for tables in TABLES:
                await postgresql(folder, cluster, tables)
        await sqlite(folder)
        await log_files(folder)


if __name__ == "__main__":
    asyncio.run(main())
