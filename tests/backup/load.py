"""Backups and restore tests every 30 s while a bot commits 500 orders a second.

    python -m tests.backup.load --minutes 20

The orders are numbered. Each restored database must have the orders 1 to n without a gap, and n is
at least what had been committed when its backup began. The stall of the writer is how long one
commit takes. Its lateness counts from the moment at which it was due, so it also contains the wait
for the commits before it: on a disk that cannot sync so often it grows without end, with and
without backups.
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
    began: float
    committed: float

    @property
    def stall(self) -> float:
        """Seconds that the commit took."""
        return self.committed - self.began

    @property
    def lateness(self) -> float:
        """Seconds from the moment it was due."""
        return self.committed - self.due


class Load:
    """What was written, backed up and restored."""

    def __init__(self, commits: list[Commit], backups: list[tuple[float, float]]) -> None:
        self.commits, self.backups = commits, backups
        self.wrong: list[str] = []

    def split(self) -> tuple[list[Commit], list[Commit]]:
        """Return the commits that began while a backup was taken, and the others."""
        starts = [start for start, _ in self.backups]
        found: tuple[list[Commit], list[Commit]] = ([], [])
        for commit in self.commits:
            place = bisect.bisect(starts, commit.began) - 1
            in_backup = place >= 0 and commit.began < self.backups[place][1]
            found[not in_backup].append(commit)
        return found


def write(path: Path, rate: float, end: Event, result: Path) -> None:
    """Commit one order after another, each when it is due, as the records of a bot do."""
    commits: list[Commit] = []
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as records:
        records.execute("PRAGMA synchronous=FULL")
        began = time.monotonic()
        while not end.is_set():
            due = began + len(commits) / rate
            time.sleep(max(0.0, due - time.monotonic()))
            start = time.monotonic()
            records.execute("INSERT INTO orders (created_at) VALUES (?)", (clock.timestamp(),))
            commits.append(Commit(due, start, time.monotonic()))
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
    for name, commits in zip(("during backups", "otherwise"), load.split(), strict=True):
        if not commits:
            continue
        stalls = sorted(commit.stall for commit in commits)
        late = sum(stall > LATE_SECONDS for stall in stalls)
        lateness = sorted(commit.lateness for commit in commits)
        p50, p99 = (1000 * _quantile(stalls, share) for share in (0.5, 0.99))
        out.write(
            f"one commit {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {1000 * stalls[-1]:.0f} ms"
            f", {late} of {len(stalls)} over {1000 * LATE_SECONDS:.0f} ms;"
            f" p99 from when it was due {1000 * _quantile(lateness, 0.99):.1f} ms\n"
        )
    out.writelines(f"{line}\n" for line in load.wrong)


def _quantile(values: list[float], share: float) -> float:
    return values[int(share * (len(values) - 1))]


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
