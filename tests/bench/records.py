"""What SQLAlchemy Core would cost the bot's records: memory, import time, and CPU per statement.

The peer executes the same INSERT and SELECT on the same kind of database, a SQLite file in memory,
with statements that SQLAlchemy has compiled before.
"""

import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from sqlalchemy import Column, Float, MetaData, String, Table, bindparam, create_engine, select
from sqlalchemy.pool import StaticPool

from tests.bench.say import say

ROUNDS, STATEMENTS = 9, 2_000
MEASURE = """
import time, pathlib, re
began = time.process_time()
import {module}
spent = time.process_time() - began
text = pathlib.Path("/proc/self/smaps_rollup").read_text()
print(spent, sum(map(int, re.findall(r"Private_\\w+:\\s+(\\d+) kB", text))))
"""


def cost_of_import(module: str) -> tuple[float, float]:
    """Return the CPU milliseconds of an import, and the process's own MB after it."""
    runs = []
    for _ in range(ROUNDS):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE.format(module=module)],
            capture_output=True,
            text=True,
            check=True,
        )
        seconds, kilobytes = done.stdout.split()
        runs.append((float(seconds) * 1000, int(kilobytes) / 1024))
    return statistics.median(run[0] for run in runs), statistics.median(run[1] for run in runs)


def microseconds(work: Callable[[int], object]) -> float:
    """Return the CPU microseconds of one call, the median of rounds."""
    rounds = []
    for number in range(ROUNDS):
        began = time.process_time()
        for index in range(STATEMENTS):
            work(number * STATEMENTS + index)
        rounds.append((time.process_time() - began) / STATEMENTS * 1e6)
    return statistics.median(rounds)


def main() -> None:
    """Print the comparison."""
    plain = sqlite3.connect(":memory:", isolation_level=None)
    plain.execute("CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT, at REAL)")
    facts = Table(
        "facts",
        MetaData(),
        Column("name", String, primary_key=True),
        Column("value", String),
        Column("at", Float),
    )
    engine = create_engine("sqlite://", poolclass=StaticPool)
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    facts.metadata.create_all(connection)
    insert = facts.insert()
    find = select(facts.c.value).where(facts.c.name == bindparam("wanted"))

    def put(number: int) -> object:
        row = (f"n{number}", "v", 1.0)
        return plain.execute("INSERT INTO facts (name, value, at) VALUES (?, ?, ?)", row)

    def get(number: int) -> object:
        return plain.execute("SELECT value FROM facts WHERE name = ?", (f"n{number}",)).fetchone()

    def put_core(number: int) -> object:
        return connection.execute(insert, {"name": f"n{number}", "value": "v", "at": 1.0})

    def get_core(number: int) -> object:
        return connection.execute(find, {"wanted": f"n{number}"}).one()

    for name, own, core in (("INSERT", put, put_core), ("SELECT", get, get_core)):
        ours, theirs = microseconds(own), microseconds(core)
        say(f"{name}: {ours:.1f} µs of CPU, SQLAlchemy Core {theirs:.1f} µs, {theirs / ours:.0f} x")
    for module in ("sqlite3", "sqlalchemy"):
        spent, size = cost_of_import(module)
        say(f"import {module}: {spent:.0f} ms of CPU, {size:.1f} MB in the process")


if __name__ == "__main__":
    main()
