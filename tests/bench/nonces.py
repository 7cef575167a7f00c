"""Nonces a second: ours beside the plain ways. Run with `python -m tests.bench.nonces`.

One process, and four at once on one key. The plain way of most clients is the clock in
milliseconds, and one more when it stands still; it is fast and safe against nothing: how many
numbers four processes gave out twice is counted. The safe plain way is a row in SQLite for each.
"""

import itertools
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

from tests.bench.say import p50_p99, say
from trading_ops import clock
from trading_ops.botkit.nonces.ceiling import CeilingFile
from trading_ops.botkit.nonces.exclusive import ExclusiveSource
from trading_ops.botkit.nonces.issuer import Nonces
from trading_ops.botkit.nonces.shared import SharedSource
from trading_ops.instrument import BotMetrics

PROCESSES = 4
ROUNDS = 5
MANY, FEW = 1_000_000, 1_500
SECONDS = 1.0
"""That four processes issue."""

KEPT = 20_000
"""Numbers of each of four processes that are compared."""

GOAL_A_SECOND = 1_000_000
GOAL_TIMES_SQLITE = 1_000

Issue = Callable[[], int]
Make = Callable[[Path], Issue]


def owner(folder: Path) -> Issue:
    """Ours: one process a key."""
    return ExclusiveSource(folder / "owner").issue


def as_the_bot_does(folder: Path) -> Issue:
    """Ours with all that a bot has around it: the metric, the watch over what is published."""
    return Nonces(ExclusiveSource(folder / "bot"), BotMetrics(version="1", mode="paper")).issue


def shared(folder: Path) -> Issue:
    """Ours: processes that share a key."""
    return SharedSource(folder / "shared").issue


def milliseconds(_folder: Path) -> Issue:
    """The plain way: the clock, and one more when it stands still."""
    last = 0

    def issue() -> int:
        nonlocal last
        last = max(last + 1, int(clock.timestamp() * 1000))
        return last

    return issue


def sqlite(folder: Path) -> Issue:
    """A row that is durable before each nonce is used."""
    base = sqlite3.connect(folder / "nonces.db", isolation_level=None, timeout=30)
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA synchronous = FULL")
    base.execute("CREATE TABLE IF NOT EXISTS nonces (key TEXT PRIMARY KEY, last INTEGER) STRICT")
    base.execute("INSERT OR IGNORE INTO nonces VALUES ('key', 0)")

    def issue() -> int:
        sql = "UPDATE nonces SET last = last + 1 WHERE key = 'key' RETURNING last"
        return int(base.execute(sql).fetchall()[0][0])

    return issue


def nanoseconds(issue: Issue, count: int) -> float:
    """Return the median time of one call."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter_ns()
        for _ in itertools.repeat(None, count):
            issue()
        rounds.append((time.perf_counter_ns() - began) / count)
    return statistics.median(rounds)


def issue_for_a_while(
    make: Make, folder: Path, barrier: Barrier
) -> tuple[int, list[int]]:  # pragma: no cover - in another process
    """Return how many nonces were issued in the time, and the first of them."""
    issue = make(folder)
    kept = []
    barrier.wait()
    for _ in itertools.repeat(None, KEPT):
        kept.append(issue())
    count, ends = 0, time.monotonic() + SECONDS
    while time.monotonic() < ends:
        for _ in itertools.repeat(None, 16):
            issue()
        count += 16
    return count, kept


def across(make: Make, folder: Path) -> tuple[float, int]:
    """Return nonces a second of all processes, and how many of those compared were twice."""
    context = get_context("spawn")
    with context.Manager() as manager, context.Pool(PROCESSES) as pool:
        barrier = manager.Barrier(PROCESSES)
        counted = pool.starmap(issue_for_a_while, [(make, folder, barrier)] * PROCESSES, 1)
    kept = [nonce for _, some in counted for nonce in some]
    return sum(count for count, _ in counted) / SECONDS, len(kept) - len(set(kept))


def show_one(name: str, make: Make, folder: Path, count: int) -> float:
    """Print one line of the first table; return nonces a second."""
    spent = nanoseconds(make(folder), count)
    say(f"  {name:<44}{spent:>10,.0f} ns {1e9 / spent:>14,.0f}/s")
    return 1e9 / spent


def main() -> int:
    """Print the tables; return 1 when ours gave a number twice."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say(f"nonces in one process, median of {ROUNDS}")
        ours = show_one("one process a key (the default)", owner, folder, MANY)
        bot = show_one("the same, as the bot asks for it", as_the_bot_does, folder, MANY)
        show_one("shared by processes", shared, folder, MANY // 4)
        show_one("plain: clock in ms, not durable", milliseconds, folder, MANY)
        rows = show_one("plain: a row in SQLite for each", sqlite, folder, FEW)
        say(f"nonces of one key across {PROCESSES} processes")
        wrong = show_across("shared by processes", shared, folder)
        show_across("plain: clock in ms, not durable", milliseconds, folder)
        show_reserve(folder)
    show_goals(ours, bot, rows)
    return int(wrong > 0)


def show_across(name: str, make: Make, folder: Path) -> int:
    """Print one line of the second table; return how many were given twice."""
    rate, twice = across(make, folder)
    say(f"  {name:<44}{rate:>28,.0f}/s, {twice:,} of {PROCESSES * KEPT:,} given twice")
    return twice


def show_reserve(folder: Path) -> None:
    """Print what raising the ceiling costs, which happens in a thread of its own."""
    file = CeilingFile(folder / "alone", block=1)
    spent: list[float] = []
    for ceiling in range(1, 300):
        began = time.perf_counter()
        file.raise_to(ceiling)
        spent.append(time.perf_counter() - began)
    median, last = p50_p99(spent)
    say(f"reserving a block of 1,048,576: p50 {median:.2f} ms, p99 {last:.2f} ms, ahead of need")


def show_goals(ours: float, bot: float, rows: float) -> None:
    """Print each goal and whether it was met."""
    goals: Sequence[tuple[str, float, float]] = (
        ("in one process, a second", ours, GOAL_A_SECOND),
        ("as the bot asks, a second", bot, GOAL_A_SECOND),
        ("times a row in SQLite for each", ours / rows, GOAL_TIMES_SQLITE),
    )
    for name, measured, goal in goals:
        say(f"goal: {name} >= {goal:,}: {measured:,.0f}: {'met' if measured >= goal else 'MISSED'}")


if __name__ == "__main__":
    sys.exit(main())
