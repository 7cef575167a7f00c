"""`restore --in-place`: replaces `var` with a backup, with guards against replays.

The new `var` is built next to the old one and swapped in with two renames; the old one is kept as
`var.before-restore-…`. Refused while one of our processes holds a lock in it.
"""

import contextlib
import fcntl
import itertools
import os
import shutil
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from trading_ops import clock, durable
from trading_ops.backup import disk
from trading_ops.backup.guards import raise_guards
from trading_ops.backup.manifest import Manifest
from trading_ops.backup.repository import Repository
from trading_ops.backup.restore import restore_into
from trading_ops.backup.sources import BOTS, LOCKS, SECRETS, venue_folders
from trading_ops.backup.verify import audit_keys
from trading_ops.config.settings import Settings
from trading_ops.errors import SetupError, StoreError

BEFORE = ".before-restore-"
CARRIED = ("backup", "log", "versions", "prometheus/data")
"""Folders that backups do not contain, moved from the old `var` to the new one."""


class Restored(NamedTuple):
    """Results that the operator needs afterwards."""

    before: Path | None
    """The path of the old `var`; None: there was none."""

    differing: list[str]
    """Configuration files that differ from the backup and were not changed."""

    postgresql: Path | None
    """The data folder that replaces the server's; None: the backup has no PostgreSQL."""

    bots: Path | None
    """The records of bots outside of `var`, one folder for each; None: the backup has none."""


def restore_in_place(
    settings: Settings,
    repository: Repository,
    manifest: Manifest,
    *,
    owner: str,
    to: datetime | None = None,
) -> Restored:
    """Replace `var` with a backup.

    Fences and nonces are raised above everything that may have been used since the backup, and each
    bot is reduce-only until its hold is released. Missing configuration files are restored.
    PostgreSQL is recovered into a folder next to `var`, because we must not stop its server, and
    the records of bots outside of `var` are put there too, because these bots may be running.

    Args:
        settings: of this installation.
        repository: with the backup.
        manifest: of the backup.
        owner: the operator.
        to: recovery target time of PostgreSQL; None: the end of the backup.

    Raises:
        StoreError: one of our processes runs.
        SetupError: no audit key, or too little space.
        Damaged: the backup does not match its manifest; nothing was changed.
    """
    if settings.backup_database_url is not None and manifest.postgresql is None:
        raise SetupError(
            f"backup {manifest.id} does not have the reconciler's PostgreSQL. Fix: choose another "
            "one, see `trading-ops backup list`"
        )
    var = settings.var
    with _stopped(var):
        scratch = var.with_name(f".{var.name}.restoring")
        shutil.rmtree(scratch, ignore_errors=True)
        restore_into(repository, manifest, scratch, to)
        new = disk.private_folder(scratch / "var")
        _keep_secrets(settings, new)
        keys = audit_keys(settings, scratch)
        if not keys:
            raise SetupError(
                f"{settings.secrets / 'audit_key'} is missing, and the backup has no secrets. Fix: "
                "put your copy of the secrets there and run this again"
            )
        if to is not None and manifest.covers(to):
            _keep_newer_anchors(new)
        with _store(manifest, scratch) as store:
            bots = scratch / BOTS
            raise_guards(settings, new, manifest, bots=bots, store=store, key=keys[0], owner=owner)
        differing = _restore_configuration(scratch / "config", settings.root)
        data = _place_postgresql(manifest, scratch, var)
        placed = _place_bots(manifest, bots, var)
        before = _exchange(var, new, manifest, venue_folders(settings))
        shutil.rmtree(scratch, ignore_errors=True)
    return Restored(before, differing, data, placed)


@contextlib.contextmanager
def _store(manifest: Manifest, folder: Path) -> Iterator[str | None]:
    """Yield the URL of the restored store; a PostgreSQL server for it runs during the block."""
    store = manifest.store
    if store is None or store.engine == "sqlite":
        yield None if store is None else f"sqlite:///{folder / store.path}"
        return
    from trading_ops.backup.postgresql import recovery  # noqa: PLC0415 - needs the driver

    with recovery.serving(folder / store.path) as server:
        yield server.store_url


def _keep_newer_anchors(var: Path) -> None:
    """Move newer anchors aside: they would report the restored audit log as truncated."""
    anchors = var / "audit" / "anchors"
    if anchors.exists():
        anchors.rename(anchors.with_name("anchors.before-restore"))


def _place_postgresql(manifest: Manifest, scratch: Path, var: Path) -> Path | None:
    if manifest.postgresql is None:
        return None
    target = _free_name(var.with_name(f"{manifest.postgresql.path}-{manifest.id}"))
    (scratch / manifest.postgresql.path).rename(target)
    return target / "data"


def _place_bots(manifest: Manifest, bots: Path, var: Path) -> Path | None:
    if not bots.exists():
        return None
    return bots.rename(_free_name(var.with_name(f"{BOTS}-{manifest.id}")))


@contextlib.contextmanager
def _stopped(var: Path) -> Iterator[None]:
    """Hold every lock in `var` during the block, so that no process of ours runs or starts.

    Raises:
        StoreError: a process holds one.
    """
    ours = var / "backup"
    with contextlib.ExitStack() as held:
        for path in sorted(var.rglob("*")) if var.exists() else []:
            is_lock = path.name in LOCKS or path.suffix == ".lock"
            if not is_lock or path.is_relative_to(ours) or path.is_symlink() or not path.is_file():
                continue
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            held.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                raise StoreError(
                    f"process {holder or 'unknown'} is running and holds {path}. Fix: stop it, for "
                    "the local stack with `trading-ops down`, and run this again"
                ) from error
        yield


def _keep_secrets(settings: Settings, new: Path) -> None:
    """Replace the secrets and certificates of the backup with the current ones.

    The backup may have none, or certificates that were renewed or withdrawn since. After a run that
    was killed between its two renames, the current ones are in the folder that it moved.
    """
    var, tls = settings.var, settings.tls
    moved = sorted(var.parent.glob(f"{var.name}{BEFORE}*"))
    current = moved[-1] if moved and not (var / SECRETS).exists() else var
    kept = [*current.rglob(SECRETS)]
    if tls.is_relative_to(var):
        kept.append(current / tls.relative_to(var))
    for folder in kept:
        if folder.is_dir() and not folder.is_symlink():
            target = new / folder.relative_to(current)
            shutil.copytree(folder, target, dirs_exist_ok=True, symlinks=True)


def _restore_configuration(folder: Path, root: Path) -> list[str]:
    differing = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        target = root / path.relative_to(folder)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        elif target.read_bytes() != path.read_bytes():
            differing.append(str(path.relative_to(folder)))
    return differing


def _exchange(var: Path, new: Path, manifest: Manifest, left_out: Collection[str]) -> Path | None:
    before = None
    try:
        if var.exists():
            before = _free_name(var.with_name(f"{var.name}{BEFORE}{clock.now():%Y%m%dT%H%M%SZ}"))
            var.rename(before)
        new.rename(var)
    except OSError as error:
        raise SetupError(
            f"{var} cannot be exchanged ({error.strerror}): is it a mount point? Fix: use "
            f"`trading-ops restore {manifest.id} --into DIR` and copy the files"
        ) from error
    durable.sync(var.parent)
    if before is not None:
        _carry_over(before, var, {*CARRIED, *left_out})
    return before


def _free_name(path: Path) -> Path:
    name = path.name
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(beside for beside in map(path.with_name, names) if not beside.exists())


def _carry_over(before: Path, var: Path, names: Collection[str]) -> None:
    for name in sorted(names):
        if (before / name).is_dir() and not (var / name).exists():
            (var / name).parent.mkdir(parents=True, exist_ok=True)
            (before / name).rename(var / name)
