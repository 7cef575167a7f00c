"""What the chain costs: events written with it and without, and how fast it is verified.

`python -m tests.bench.audit [--postgresql] [--events N]`. Rounds with and without the chain
alternate, so that a slow moment of the machine hits both; "without" stores the same rows in one
INSERT, without locking or moving a head.
"""

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count

from sqlalchemy import Engine, insert

from tests.bench.say import say
from tests.builders import NOW
from trading_ops.audit.report import AnchorBook, verify
from trading_ops.store import audit_chain, events, migrate, tables
from trading_ops.store.engine import writing_engine
from trading_ops.store.reader import open_reader
from trading_ops.store.writer import transaction

KEY = b"5e" * 32
ROUNDS = 5
BATCHES = {1: 200, 10: 100, 500: 20}
"""Events in a transaction: transactions in a round."""

MICRO = 1_000_000


def event(number: int) -> dict[str, object]:
    """Return an event of the usual size."""
    return {
        "at": NOW + timedelta(milliseconds=number),
        "kind": "decided_wait",
        "incident_id": "16298142-8638-429b-8f45-760d62e56e59",
        "actor": "reconciler",
        "reason": "cooldown",
        "note": "would have run reconnect_broker; until 2026-03-01T12:00:00+00:00",
    }


def chained(engine: Engine, batch: int, numbers: Iterator[int]) -> None:
    """Write events as the store does."""
    with transaction(engine, KEY) as connection:
        for _ in range(batch):
            events.add(connection, **event(next(numbers)))  # type: ignore[arg-type]


def unchained(engine: Engine, batch: int, numbers: Iterator[int]) -> None:
    """Write the same rows and nothing else."""
    with engine.begin() as connection:
        rows = []
        for _ in range(batch):
            number = next(numbers)
            rows.append(event(number) | {"seq": number})
        connection.execute(insert(tables.events), rows)


def measure(engines: dict[str, Engine], batch: int, transactions: int) -> str:
    """Return one line: events a second, and processor time of one event, with and without."""
    ways = {"chained": chained, "unchained": unchained}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            began, cpu = time.perf_counter(), time.process_time()
            for _ in range(transactions):
                way(engines[name], batch, NUMBERS)
            done = batch * transactions
            rates[name].append(done / (time.perf_counter() - began))
            costs[name].append((time.process_time() - cpu) / done * MICRO)
    rate = {name: statistics.median(values) for name, values in rates.items()}
    cost = {name: statistics.median(values) for name, values in costs.items()}
    return (
        f"{batch:>5} {rate['chained']:>11,.0f}/s {rate['unchained']:>11,.0f}/s "
        f"{rate['chained'] / rate['unchained']:>7.2f} "
        f"{cost['chained']:>9.0f} us {cost['unchained']:>9.0f} us"
    )


NUMBERS = count(1)


@contextmanager
def databases(*, postgresql: bool) -> Iterator[tuple[str, str]]:
    """Yield the URLs of two new databases."""
    if postgresql:
        from tests.postgres import Cluster  # noqa: PLC0415 - not everybody has a server

        with Cluster() as cluster:
            yield cluster.new_database(), cluster.new_database()
        return
    with tempfile.TemporaryDirectory() as folder:
        urls = (f"sqlite:///{folder}/chained.db", f"sqlite:///{folder}/unchained.db")
        for url in urls:
            migrate.upgrade(url)
        yield urls


def mac_cost() -> float:
    """Return the microseconds that one MAC takes."""
    fields = (0, "decided_wait", "x" * 36, None, "reconciler", "cooldown", "n" * 60, None, None)
    rounds, began = 20_000, time.perf_counter()
    for number in range(rounds):
        audit_chain.mac_of(KEY, "0" * 64, number, fields)
    return (time.perf_counter() - began) / rounds * MICRO


def verified(url: str) -> str:
    """Return one line: how fast the whole timeline is verified, and the memory at most."""

    async def run() -> tuple[int, float]:
        with open_reader(url) as reader:
            verdict = await verify(reader, [KEY], AnchorBook())
        assert verdict.problem is None, verdict.problem
        return verdict.verified, verdict.took_seconds

    checked, seconds = asyncio.run(run())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rate = f"{checked / seconds:,.0f}/s; at most {memory:.0f} MB"
    return f"verified {checked:,} events in {seconds:.1f} s: {rate}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--events", type=int, default=200_000, help="to verify")
    given = parser.parse_args()
    with databases(postgresql=given.postgresql) as urls:
        engines = dict(zip(("chained", "unchained"), map(writing_engine, urls), strict=True))
        name = "PostgreSQL" if given.postgresql else "SQLite"
        say(f"events written to {name}, each transaction durable (medians of {ROUNDS} rounds)")
        say("batch      chained     unchained   ratio  chained CPU  unchained CPU of one event")
        for batch, transactions in BATCHES.items():
            say(measure(engines, batch, transactions))
        say(f"one MAC takes {mac_cost():.1f} us")
        numbers = count(10_000_000)
        while (written := _head(engines["chained"])) < given.events:
            chained(engines["chained"], min(5000, given.events - written), numbers)
        for engine in engines.values():
            engine.dispose()
        say(verified(urls[0]))


def _head(engine: Engine) -> int:
    with engine.connect() as connection:
        return events.head(connection)


if __name__ == "__main__":
    main()
