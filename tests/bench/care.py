"""Dead rows and a bloated index are made on PostgreSQL and removed while orders are written.

    python -m tests.bench.care

A bot commits 200 orders a second, each an INSERT and the UPDATE of an earlier order. Meanwhile most
of the old orders are deleted, and the jobs `database_vacuum` and `database_reindex` find and remove
what that leaves. A latency counts from the moment at which the order was due. Exits with 1 if a job
does not find or remove it, or if an order is lost.
"""

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from tests.bench.say import p50_p99, say
from tests.postgres import Cluster
from trading_ops.config.settings import Settings
from trading_ops.domain.job import JobOutcome
from trading_ops.jobs.job import Context, load
from trading_ops.jobs.schedule import Cron
from trading_ops.jobs.work.database_report import DatabaseReport
from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

TABLE = """
CREATE TABLE orders (id bigserial PRIMARY KEY, client text NOT NULL, price int, status text)
WITH (autovacuum_enabled = false)
"""
FILL = """
INSERT INTO orders (client, price, status)
SELECT md5(n::text), n % 1000, 'filled' FROM generate_series(1, {}) n
"""
INDEX = "CREATE INDEX orders_client ON orders (client)"
FIGURES = """
SELECT n_dead_tup, n_live_tup, pg_relation_size('orders_client') FROM pg_stat_user_tables
WHERE relname = 'orders'
"""


class Orders(threading.Thread):
    """Commits orders at a rate; a stalled one delays all behind it, and they show it."""

    def __init__(self, url: str, rate: float) -> None:
        super().__init__(daemon=True)
        self.written: list[tuple[float, float]] = []
        """When it was due, and its latency, in seconds."""

        self._url, self._rate, self._end = url, rate, threading.Event()

    def run(self) -> None:
        """Write until `finish`."""
        with psycopg.connect(self._url) as session:
            began = time.monotonic()
            while not self._end.is_set():
                due = began + len(self.written) / self._rate
                time.sleep(max(0.0, due - time.monotonic()))
                row = session.execute(
                    "INSERT INTO orders (client, price, status) "
                    "VALUES (md5(random()::text), 1, 'open') RETURNING id"
                ).fetchone()
                assert row is not None
                session.execute("UPDATE orders SET status = 'filled' WHERE id = %s", (row[0] - 50,))
                session.commit()
                self.written.append((due, time.monotonic() - due))

    def finish(self) -> None:
        """Stop after the order under way."""
        self._end.set()
        self.join()


class Phases:
    """Prints the latencies of one phase after the other."""

    def __init__(self, orders: Orders) -> None:
        self._orders, self._from = orders, 0

    def end(self, phase: str) -> None:
        """Print the phase that ends now."""
        until = len(self._orders.written)
        found = [latency for _, latency in self._orders.written[self._from : until]]
        self._from = until
        p50, p99 = p50_p99(found)
        say(
            f"  {phase:<34} {len(found):5} orders  p50 {p50:6.2f}  p99 {p99:6.2f}  "
            f"max {1000 * max(found):7.1f} ms"
        )


def figures(session: psycopg.Connection[Any]) -> tuple[int, int, int]:
    """Return dead rows, live rows and the bytes of the index."""
    session.execute("SELECT pg_stat_force_next_flush()")
    row = session.execute(FIGURES).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2])


async def run(folder: Path, cluster: Cluster, *, rows: int, rate: float, seconds: float) -> bool:
    """Make the bloat and remove it; return whether that is what happened."""
    url = cluster.new_database()
    cluster.execute("GRANT pg_read_all_settings TO trading_ops")
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    (folder / "targets.yml").write_text("version: 1\ntargets: []\n")
    writer, reader = Writer(writing_engine(url)), Reader(reading_engine(url))
    writer.start()
    context = Context(
        settings=Settings(root=folder, var=folder / "var", database=url),
        writer=writer,
        reader=reader,
        schedule=Cron(expression="0 0 * * *"),
        timeout=timedelta(minutes=10),
    )
    try:
        with psycopg.connect(plain, autocommit=True) as session:
            session.execute(TABLE)
            session.execute(FILL.format(rows))
            session.execute(INDEX)
            session.execute("VACUUM ANALYZE orders")
            await DatabaseReport().run(context)
            orders = Orders(plain, rate)
            orders.start()
            good = await _phases(context, session, orders, rows, seconds)
            orders.finish()
            row = session.execute("SELECT count(*) FROM orders").fetchone()
            assert row is not None
            kept = rows // 4 + len(orders.written)
            say(f"{row[0]} orders are there, {kept} expected")
            return good and row[0] == kept
    finally:
        reader.close()
        writer.stop()


async def _phases(
    context: Context,
    session: psycopg.Connection[Any],
    orders: Orders,
    rows: int,
    seconds: float,
) -> bool:
    phases = Phases(orders)
    await asyncio.sleep(seconds)
    phases.end("before")
    batch = rows // 20
    for first in range(1, rows, batch):
        await asyncio.to_thread(
            session.execute,
            "DELETE FROM orders WHERE id BETWEEN %s AND %s AND id %% 4 <> 0",
            (first, min(first + batch - 1, rows)),
        )
    await asyncio.sleep(seconds)
    phases.end("while old orders are deleted")
    good = True
    before = figures(session)
    say(f"dead rows {before[0]} of {sum(before[:2])}; index {before[2] / 1e6:.1f} MB")
    for name in ("database_vacuum", "database_reindex"):
        job, began = load(name), time.monotonic()
        result = await job.run(context)
        phases.end(f"during {name}")
        say(f"{name}: {result.outcome} in {time.monotonic() - began:.1f} s: {result.detail}")
        good &= result.outcome is JobOutcome.DONE
    await asyncio.sleep(seconds)
    phases.end("afterwards")
    after = figures(session)
    say(f"dead rows {after[0]} of {sum(after[:2])}; index {after[2] / 1e6:.1f} MB")
    return good and after[0] < before[0] / 10 and after[2] < before[2] / 2


def main() -> int:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="old orders")
    parser.add_argument("--rate", type=float, default=200, help="orders a second")
    parser.add_argument("--seconds", type=float, default=20, help="of each phase without a job")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="care-") as folder, Cluster() as cluster:
        good = asyncio.run(
            run(
                Path(folder),
                cluster,
                rows=given.rows,
                rate=given.rate,
                seconds=given.seconds,
            )
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
