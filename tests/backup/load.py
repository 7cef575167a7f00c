"""Backups and restore tests every 30 s while a bot commits 500 orders a second.

    python -m tests.backup.load --minutes 20

The orders are numbered. Each restored database must have the orders 1 to n without a gap, and n is
at least what had been committed when its backup began. The latency of a commit counts from the
moment at which it was due, so a stalled writer shows in every order that waits behind it.
"""

import argparse
import bisect
import contextlib
import multiprocessing
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import msgspec

from tests.backup.installation import Installation
from trading_ops import clock
from trading_ops.backup import prune
from trading_ops.backup.verify import fetch

PAGE = 4096
LATE_SECONDS = 0.05


class Commit(msgspec.Struct, frozen=True, array_like=True):
    """One order. Times are seconds of the monotonic clock, which all processes of a host share."""

    due: float
    committed: float

    @property
    def latency(self) -> float:
        """Seconds from the moment it was due."""
        return self.committed - self.due


class Load:
    """What was written, backed up and restored."""

    def __init__(self, commits: list[Commit], backups: list[tuple[float, float]]) -> None:
        self.commits, self.backups = commits, backups
        self.wrong: list[str] = []

    def latencies(self, *, in_backup: bool) -> list[float]:
        """Return the latencies, sorted, of the commits due while a backup was taken, or not."""
        starts = [start for start, _ in self.backups]

        def covered(commit: Commit) -> bool:
            place = bisect.bisect(starts, commit.due) - 1
            return place >= 0 and commit.due < self.backups[place][1]

        return sorted(
            attempted.latency for attempted in self.commits if covered(attempted) is in_backup
        )


def write(path: Path, rate: float, end: Event, result: Path) -> None:
    """Commit one order after another, each when it is due, as the records of a bot do."""
    commits: list[Commit] = []
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as records:
        records.execute("PRAGMA synchronous=FULL")
        began = time.monotonic()
        while not end.is_set():
            due = began + len(commits) / rate
            time.sleep(max(0.0, due - time.monotonic()))
            records.execute("INSERT INTO orders (created_at) VALUES (?)", (clock.timestamp(),))
            commits.append(Commit(due, time.monotonic()))
    result.write_bytes(msgspec.json.encode(commits))


def fill(installation: Installation, megabytes: int) -> None:
    """Make the bot's database as large as that."""
    with installation.records() as records:
        records.execute("DELETE FROM orders")
        records.execute("CREATE TABLE ticks (id INTEGER PRIMARY KEY, data BLOB)")
        records.executemany(
            "INSERT INTO ticks (data) VALUES (randomblob(?))",
            ((PAGE - 100,) for _ in range(megabytes * 2**20 // PAGE)),
        )


def committed(installation: Installation) -> int:
    """Return the number of the newest order."""
    with installation.records() as records:
        return int(records.execute("SELECT coalesce(max(id), 0) FROM orders").fetchone()[0])


def check(installation: Installation, scratch: Path, least: int) -> str:
    """Restore the newest backup, and return what is wrong with it: nothing, if all is well."""
    manifest = installation.manifests()[-1]
    installation.restore_test(manifest)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    if problems := fetch(installation.repository, manifest, scratch):
        return problems[0]
    (path,) = scratch.rglob("bot.db")
    with contextlib.closing(sqlite3.connect(path)) as restored:
        first, last, count = restored.execute(
            "SELECT coalesce(min(id), 1), coalesce(max(id), 0), count(*) FROM orders"
        ).fetchone()
    shutil.rmtree(scratch)
    if (first, last) != (1, count):
        return f"{manifest.id}: {count} orders from {first} to {last}: some are missing"
    return "" if last >= least else f"{manifest.id}: ends at order {last}, {least} were committed"


def run(folder: Path, *, seconds: float, every: float, rate: float, megabytes: int) -> Load:
    """Write, back up and restore."""
    root = folder / "project"
    root.mkdir()
    installation = Installation.make(root)
    fill(installation, megabytes)
    spawn = multiprocessing.get_context("spawn")
    end, result = spawn.Event(), folder / "commits.json"
    writer = spawn.Process(
        target=write, args=(installation.bot / "bot.db", rate, end, result), daemon=True
    )
    writer.start()
    backups: list[tuple[float, float]] = []
    wrong: list[str] = []
    began = time.monotonic()
    while (start := time.monotonic()) - began < seconds or not backups:
        least = committed(installation)
        installation.back_up()
        backups.append((start, time.monotonic()))
        wrong.append(check(installation, folder / "scratch", least))
        prune.prune(installation.settings, installation.repository)
        time.sleep(max(0.0, start + every - time.monotonic()))
    end.set()
    writer.join()
    made = Load(msgspec.json.decode(result.read_bytes(), type=list[Commit]), backups)
    made.wrong = [problem for problem in wrong if problem]
    return made


def say(load: Load) -> None:
    """Print the figures."""
    out = sys.stdout
    rate = len(load.commits) / (load.commits[-1].committed - load.commits[0].due)
    out.write(
        f"{len(load.commits)} orders ({rate:.0f}/s); {len(load.backups)} backups; "
        f"{len(load.backups) - len(load.wrong)} restored and complete\n"
    )
    took = statistics.median(end - start for start, end in load.backups)
    out.write(f"a backup took {took:.1f} s (median)\n")
    for name, in_backup in (("during backups", True), ("otherwise", False)):
        found = load.latencies(in_backup=in_backup)
        late = sum(1 for lateness in found if lateness > LATE_SECONDS)
        if found:
            p50, p99 = (1000 * found[int(share * (len(found) - 1))] for share in (0.5, 0.99))
            out.write(
                f"commit {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {1000 * found[-1]:.0f} ms"
                f", {late} of {len(found)} over {1000 * LATE_SECONDS:.0f} ms\n"
            )
    out.writelines(f"{line}\n" for line in load.wrong)


def main() -> int:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--every", type=float, default=30, help="seconds between two backups")
    parser.add_argument("--rate", type=float, default=500, help="orders a second")
    parser.add_argument("--megabytes", type=int, default=100, help="size of the bot's database")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="backup-load-") as folder:
        load = run(
            Path(folder),
            seconds=60 * given.minutes,
            every=given.every,
            rate=given.rate,
            megabytes=given.megabytes,
        )
    say(load)
    return 1 if load.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
