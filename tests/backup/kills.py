"""SIGKILL during backup, prune and restore, at every change of a file: what can be restored stays.

    python -m tests.backup.kills --kills 500

A life is a forked child that ends itself with SIGKILL just before its n-th change of a file or a
folder, as told by Python's audit hooks. After each death every complete backup must still be
listed, restore exactly and pass its restore test, and the same command must then succeed.
"""

import argparse
import asyncio
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import structlog
from msgspec.structs import replace

from tests.backup.installation import KEY, Installation
from trading_ops.audit import report as audit
from trading_ops.backup import prune
from trading_ops.backup.in_place import restore_in_place
from trading_ops.backup.verify import fetch
from trading_ops.store.offline import open_reader

CHANGES = frozenset(
    {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "shutil.copyfile"}
)
"""Audit events of changes; opening a file for writing is one too."""

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


OPERATIONS: dict[str, Callable[[Installation], None]] = {
    "create": create,
    "prune": remove,
    "restore": restore,
}


def prepare(folder: Path) -> Path:
    """Make an installation with four backups, of which the newest two are proven."""
    root = folder / "prepared"
    root.mkdir()
    installation = Installation.make(root)
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
        said = answer.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return -1
    assert os.WEXITSTATUS(status) == 0, "the command failed"
    return int(said)


def _die_before(last: int | None, work: Callable[[], None], sending: int) -> None:
    seen = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        flags = arguments[2] if event == "open" else 0
        if event in CHANGES or (isinstance(flags, int) and flags & WRITING):
            seen += 1
            if seen == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
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

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prepared = prepare(folder)
        self.killed: Counter[str] = Counter()
        self.lost: list[str] = []

    def changes(self, operation: str) -> int:
        """Return how many changes an operation makes."""
        installation = self._fresh()
        return live(lambda: OPERATIONS[operation](installation), None)

    def kill(self, operation: str, last: int) -> None:
        """Kill one life and look at what it left."""
        installation = self._fresh()
        complete = {one.id for one in installation.manifests()}
        if live(lambda: OPERATIONS[operation](installation), last) != -1:
            return
        self.killed[operation] += 1
        left = {one.id for one in installation.repository.listing().manifests}
        place = f"{operation}, killed before change {last}"
        # Pruning may have removed what it was to remove, and nothing else removes anything.
        expected = set(sorted(complete)[2:]) if operation == "prune" else complete
        if not expected <= left:
            self.lost.append(f"{place}: {sorted(expected - left)} are gone")
        self._check(installation, place)
        OPERATIONS[operation](installation)
        self._check(installation, f"{place}, then run again")
        if not verdict_of(installation):
            self.lost.append(f"{place}, then run again: the audit log is not whole")

    def _check(self, installation: Installation, place: str) -> None:
        listing = installation.repository.listing()
        self.lost += [f"{place}: {line}" for line in listing.damaged]
        for manifest in listing.manifests:
            scratch = self._folder / "scratch"
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            problems = fetch(installation.repository, manifest, scratch)
            self.lost += [f"{place}: {manifest.id}: {line}" for line in problems]
        if not listing.manifests:
            self.lost.append(f"{place}: no backup is left")

    def _fresh(self) -> Installation:
        root = self._folder / "project"
        for left in self._folder.glob("project*"):
            shutil.rmtree(left)
        shutil.copytree(self._prepared, root)
        return Installation(root)


def run(folder: Path, kills: int, seed: int) -> Sweep:
    """Spread the kills over the operations and their changes."""
    sweep, chosen = Sweep(folder), random.Random(seed)
    for operation in OPERATIONS:
        changes = sweep.changes(operation)
        share = -(-kills // len(OPERATIONS))
        rounds, rest = divmod(share, changes)
        places = [*range(1, changes + 1)] * rounds + chosen.sample(range(1, changes + 1), rest)
        for place in places:
            sweep.kill(operation, place)
    return sweep


def main() -> int:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="backup-kills-") as folder:
        sweep = run(Path(folder), given.kills, given.seed)
    sys.stdout.write(f"killed: {dict(sweep.killed)}; lost: {len(sweep.lost)}\n")
    sys.stdout.writelines(f"{line}\n" for line in sweep.lost)
    return 1 if sweep.lost or not sweep.killed else 0


if __name__ == "__main__":
    sys.exit(main())
