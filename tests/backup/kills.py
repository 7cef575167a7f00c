"""SIGKILL during backup, prune, restore and migration, at every change: what can be restored stays.

    python -m tests.backup.kills --kills 500 [--postgresql | --restic]

A life is a forked child that ends itself with SIGKILL just before its n-th change of a file or a
folder, counted by Python's audit hooks, or its n-th SQL statement. After each death every complete
backup must still be listed, restore exactly and pass its restore test, and the same command must
then succeed. With --restic a life is killed at a random time, mostly while restic runs, which must
not outlive it.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import structlog
from msgspec.structs import replace
from sqlalchemy import Engine
from sqlalchemy.event import listen

from tests.backup import postgresql
from tests.backup.installation import KEY, Installation
from tests.postgres import Cluster
from trading_ops.audit import report as audit
from trading_ops.backup import prune
from trading_ops.backup.in_place import restore_in_place
from trading_ops.backup.verify import check_contents, fetch
from trading_ops.store import migrate
from trading_ops.store.reader import open_reader

DATABASE = "test_1"
"""The first that a cluster makes."""

CHANGES = frozenset(
    {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "shutil.copyfile"}
)
"""Audit events of changes; opening a file for writing is one too."""

END_SECONDS = 10.0
"""Within it a restic whose parent was killed has ended; a whole operation takes less."""

WRITING = os.O_WRONLY | os.O_RDWR


def create(installation: Installation) -> None:
    """Take another backup."""
    installation.write_events(1)
    installation.back_up()


def remove(installation: Installation) -> None:
    """Prune all but the newest two."""
    settings = replace(
        installation.settings,
        backup_keep_last=2,
        backup_keep_hourly=0,
        backup_keep_daily=0,
        backup_keep_weekly=0,
        backup_keep_monthly=0,
    )
    prune.prune(settings, installation.repository)


def restore(installation: Installation) -> None:
    """Restore in place."""
    manifest = installation.manifests()[-1]
    restore_in_place(installation.settings, installation.repository, manifest, owner="ann")


def base(installation: Installation) -> None:
    """Take another backup, with a new base of PostgreSQL."""
    postgresql.age_base(installation)
    create(installation)


def migrate_schema(installation: Installation) -> None:
    """Take the schema of the store back by one revision, and up again."""
    url = installation.settings.database_url
    migrate.downgrade(url, f"{int(migrate.HEAD) - 1:04}")
    migrate.upgrade(url)


OPERATIONS: dict[str, Callable[[Installation], None]] = {
    "create": create,
    "base": base,
    "prune": remove,
    "restore": restore,
    "migrate": migrate_schema,
}


def open_installation(root: Path, *, database: str, restic: bool) -> Installation:
    """Open an installation with its repository in its folder."""
    repository = f"restic:{root / 'repository'}" if restic else ""
    return Installation(root, database=database, repository=repository)


def prepare(folder: Path, cluster: Cluster | None, *, restic: bool = False) -> Path:
    """Make an installation with four backups, of which the newest two are proven."""
    root = folder / "prepared"
    if cluster is None:
        root.mkdir()
        Installation.make(root)
        installation = open_installation(root, database="", restic=restic)
        installation.settings.backup_password.write_text("correct horse\n")
    else:
        installation = postgresql.make(root, cluster)
    for _ in range(4):
        create(installation)
    for manifest in installation.manifests()[2:]:
        installation.restore_test(manifest)
    return root


def live(work: Callable[[], None], last: int | None) -> int:
    """Work in a child that dies before its change number `last`.

    Returns:
        How many changes it lived to see, when it was not killed; -1 when it was.
    """
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiving)
        _die_before(last, work, sending)
    os.close(sending)
    with os.fdopen(receiving, "rb") as answer:
        body = answer.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return -1
    assert os.WEXITSTATUS(status) == 0, "the command failed"
    return int(body)


def live_for(work: Callable[[], None], seconds: float) -> bool:
    """Work in a child that is killed after this time; return whether it was still at work."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    ended = os.pidfd_open(child)
    try:
        select.select([ended], [], [], seconds)
    finally:
        os.close(ended)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, "the command failed"
    return False


def restics(location: str) -> list[psutil.Process]:
    """Return the running restics with this repository."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = process.cmdline()
            if command and command[0].endswith("restic") and location in command:
                found.append(process)
    return found


def _die_before(last: int | None, work: Callable[[], None], sending: int) -> None:
    seen = 0

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        flags = arguments[2] if event == "open" else 0
        if event in CHANGES or (isinstance(flags, int) and flags & WRITING):
            count()

    sys.addaudithook(hook)
    listen(Engine, "before_cursor_execute", count)
    listen(Engine, "commit", count)
    try:
        work()
        os.write(sending, str(seen).encode())
    finally:
        os._exit(0 if sys.exc_info()[0] is None else 1)


def verdict_of(installation: Installation) -> bool:
    """Whether the store in use is whole, up to its last anchor."""
    keys = [KEY]
    anchors = audit.read_anchors([installation.settings.anchors], keys)

    async def run() -> bool:
        with open_reader(installation.settings.database_url) as reader:
            return (await audit.verify(reader, keys, anchors)).problem is None

    return asyncio.run(run())


class Sweep:
    """Lives and deaths of one installation."""

    def __init__(
        self, folder: Path, cluster: Cluster | None = None, *, restic: bool = False
    ) -> None:
        self._folder = folder
        self._prepared = prepare(folder, cluster, restic=restic)
        self._restic = restic
        self._cluster = cluster
        self._database = "" if cluster is None else cluster.url(DATABASE)
        self.killed: Counter[str] = Counter()
        self.lost: list[str] = []

    def changes(self, operation: str) -> int:
        """Return how many changes an operation makes."""
        installation = self._fresh()
        return live(lambda: OPERATIONS[operation](installation), None)

    def kill(self, operation: str, last: int) -> None:
        """Kill one life before a change and look at what it left."""
        installation = self._fresh()
        complete = {manifest.id for manifest in installation.manifests()}
        if live(lambda: OPERATIONS[operation](installation), last) == -1:
            self._examine(
                installation, operation, complete, f"{operation}, killed before change {last}"
            )

    def seconds(self, operation: str) -> float:
        """Return how long an operation takes."""
        installation = self._fresh()
        began = time.monotonic()
        assert not live_for(lambda: OPERATIONS[operation](installation), 600)
        return time.monotonic() - began

    def kill_after(self, operation: str, seconds: float) -> None:
        """Kill one life after a time and look at what it left."""
        installation = self._fresh()
        complete = {manifest.id for manifest in installation.manifests()}
        if not live_for(lambda: OPERATIONS[operation](installation), seconds):
            return
        place = f"{operation}, killed after {seconds:.2f} s"
        left = restics(str(installation.root / "repository"))
        if psutil.wait_procs(left, timeout=END_SECONDS)[1]:
            self.lost.append(f"{place}: restic outlives it")
        self._examine(installation, operation, complete, place)

    def _examine(
        self, installation: Installation, operation: str, complete: set[str], place: str
    ) -> None:
        self.killed[operation] += 1
        left = {manifest.id for manifest in installation.repository.listing().manifests}
        # Pruning may have removed what it was to remove, and nothing else removes anything.
        expected = set(sorted(complete)[2:]) if operation == "prune" else complete
        if not expected <= left:
            self.lost.append(f"{place}: {sorted(expected - left)} are gone")
        self._check(installation, place)
        OPERATIONS[operation](installation)
        place = f"{place}, then run again"
        self._check(installation, place, contents=True)
        with self._in_use(installation) as used:
            if not verdict_of(used):
                self.lost.append(f"{place}: the audit log is not whole")

    @contextlib.contextmanager
    def _in_use(self, installation: Installation) -> Iterator[Installation]:
        """Use the PostgreSQL that was restored, if one was, as its operator does."""
        restored = sorted(installation.root.glob("postgresql-*/data"))
        if self._cluster is None or not restored:
            yield installation
            return
        with postgresql.server_of(restored[-1], self._cluster.password) as server:
            yield Installation(installation.root, database=server.url(DATABASE))

    def _check(self, installation: Installation, place: str, *, contents: bool = False) -> None:
        """Read every backup back, and open the newest one."""
        listing = installation.repository.listing()
        self.lost += [f"{place}: {line}" for line in listing.damaged]
        for manifest in listing.manifests:
            scratch = self._folder / "scratch"
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            problems = fetch(installation.repository, manifest, scratch)
            if contents and manifest is listing.manifests[-1] and not problems:
                problems = check_contents(installation.settings, manifest, scratch)
            self.lost += [f"{place}: {manifest.id}: {line}" for line in problems]
        if not listing.manifests:
            self.lost.append(f"{place}: no backup is left")

    def _fresh(self) -> Installation:
        root = self._folder / "project"
        for left in self._folder.glob("project*"):
            shutil.rmtree(left)
        shutil.copytree(self._prepared, root)
        return open_installation(root, database=self._database, restic=self._restic)


def run(folder: Path, kills: int, seed: int, cluster: Cluster | None = None) -> Sweep:
    """Spread the kills over the operations and their changes."""
    sweep, chosen = Sweep(folder, cluster), random.Random(seed)
    operations = [operation for operation in OPERATIONS if cluster or operation != "base"]
    for operation in operations:
        changes = sweep.changes(operation)
        share = -(-kills // len(operations))
        rounds, rest = divmod(share, changes)
        places = [*range(1, changes + 1)] * rounds + chosen.sample(range(1, changes + 1), rest)
        for place in places:
            sweep.kill(operation, place)
    return sweep


def run_restic(folder: Path, kills: int, seed: int) -> Sweep:
    """Spread the kills over the operations that use the repository, and over their time."""
    sweep, chosen = Sweep(folder, restic=True), random.Random(seed)
    operations = ("create", "prune", "restore")
    durations = {operation: sweep.seconds(operation) for operation in operations}
    while sweep.killed.total() < kills:
        operation = operations[sweep.killed.total() % len(operations)]
        sweep.kill_after(operation, chosen.uniform(0.1, durations[operation]))
    return sweep


def main() -> int:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgresql", action="store_true", help="the store is in PostgreSQL")
    parser.add_argument("--restic", action="store_true", help="the repository is one of restic")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with contextlib.ExitStack() as held:
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix="backup-kills-"))
        cluster = None
        if given.postgresql:
            cluster = held.enter_context(Cluster(settings=postgresql.SETTINGS))
        if given.restic:
            sweep = run_restic(Path(folder), given.kills, given.seed)
        else:
            sweep = run(Path(folder), given.kills, given.seed, cluster)
    sys.stdout.write(f"killed: {dict(sweep.killed)}; lost: {len(sweep.lost)}\n")
    sys.stdout.writelines(f"{line}\n" for line in sweep.lost)
    return 1 if sweep.lost or not sweep.killed else 0


if __name__ == "__main__":
    sys.exit(main())
