"""Restores PostgreSQL to random moments while orders are written, and compares every row.

    python -m tests.backup.pitr --targets 200

One writer commits orders all the time, and backups are taken beside it. The server notes the time
of each commit (`track_commit_timestamp`): at a moment the orders committed until then must be
there, and no other one.
"""

import argparse
import random
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from tests.backup import postgresql
from tests.backup.installation import Installation
from tests.postgres import Cluster
from trading_ops.backup.restore import choose


def run(cluster: Cluster, folder: Path, *, targets: int, backups: int, seed: int) -> "Result":
    """Write, back up, and restore."""
    installation = postgresql.make(folder / "project", cluster)
    url = installation.settings.database_url
    with postgresql.Writing(url) as writing:
        for _ in range(backups):
            installation.back_up()
    result = Result(written=writing.written)
    _compare(installation, folder / "scratch", targets, random.Random(seed), result)
    manifest = installation.manifests()[-1]
    result.is_exact = manifest.databases[0].wal_counted is not None
    installation.restore_test(manifest)
    return result


class Result:
    """What was found."""

    def __init__(self, written: int) -> None:
        self.written = written
        self.wrong: list[str] = []
        self.seconds: list[float] = []
        self.is_exact = False


def _compare(
    installation: Installation, scratch: Path, targets: int, chosen: random.Random, result: Result
) -> None:
    orders = postgresql.committed(installation.settings.database_url)
    manifests = installation.manifests()
    first, last = manifests[0].databases[0], manifests[-1].databases[0]
    assert first.recoverable_from is not None
    assert last.recoverable_to is not None
    span = (last.recoverable_to - first.recoverable_from) // timedelta(microseconds=1)
    for _ in range(targets):
        to = first.recoverable_from + timedelta(microseconds=chosen.randrange(span))
        began = time.monotonic()
        found = postgresql.recovered_orders(installation, choose(manifests, to=to), to, scratch)
        result.seconds.append(time.monotonic() - began)
        expected = [number for number, at in orders if at <= to]
        if found != expected:
            result.wrong.append(f"{to}: {len(found)} orders, expected {len(expected)}")


def main() -> int:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--backups", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="backup-pitr-") as folder,
        Cluster(settings=postgresql.SETTINGS) as cluster,
    ):
        result = run(
            cluster, Path(folder), targets=given.targets, backups=given.backups, seed=given.seed
        )
    exact = given.targets - len(result.wrong)
    times = sorted(result.seconds)
    sys.stdout.write(
        f"{result.written} orders during {given.backups} backups; {exact} of {given.targets} "
        f"moments restored row by row ({times[len(times) // 2]:.1f} s each, at most "
        f"{times[-1]:.1f} s); rows counted exactly: {'yes' if result.is_exact else 'no'}\n"
    )
    sys.stdout.writelines(f"{line}\n" for line in result.wrong)
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
