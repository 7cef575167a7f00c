"""`restore --in-place`: a backup takes the place of `var`, and nothing old can be replayed.

The new `var` is built beside the old one and exchanged for it by two renames; the old one stays as
`var.before-restore-…`. Refused while a process of ours holds a lock in it.
"""

import contextlib
import fcntl
import itertools
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from trading_ops import clock
from trading_ops.backup import durable
from trading_ops.backup.guards import raise_guards
from trading_ops.backup.manifest import Manifest
from trading_ops.backup.repository import Repository
from trading_ops.backup.restore import restore_into
from trading_ops.backup.sources import LOCKS, SECRETS, venue_folders
from trading_ops.backup.verify import audit_keys
from trading_ops.config.settings import Settings
from trading_ops.errors import SetupError, StoreError

BEFORE = ".before-restore-"
CARRIED = ("backup", "log", "versions", "prometheus/data")
"""What no backup has and the old `var` keeps."""


class Restored(NamedTuple):
    """What an operator must know afterwards."""

    before: Path | None
    """Where the old `var` is now; None: there was none."""

    differing: list[str]
    """Files of the configuration that differ from the backup's, and were left as they are."""


def restore_in_place(
    settings: Settings, repository: Repository, manifest: Manifest, *, owner: str
) -> Restored:
    """Put a backup in the place of `var`.

    Fences and nonces are raised above everything that may have been used since the backup, and each
    bot is reduce-only until its hold is released. Missing files of the configuration are restored.

    Raises:
        StoreError: a process of ours runs.
        SetupError: this cannot be done here: PostgreSQL, no audit key, too little space.
        Damaged: the backup is not what its manifest says; nothing was changed.
    """
    if manifest.postgresql is not None or settings.backup_database_url is not None:
        raise SetupError(
            "the backup has a PostgreSQL server, which --in-place does not replace. Fix: use "
            "--into, then see docs/backups.md, “PostgreSQL”"
        )
    var = settings.var
    with _stopped(var):
        scratch = var.with_name(f".{var.name}.restoring")
        shutil.rmtree(scratch, ignore_errors=True)
        restore_into(repository, manifest, scratch)
        new = durable.private_folder(scratch / "var")
        _keep_secrets(var, new)
        keys = audit_keys(settings, scratch)
        if not keys:
            raise SetupError(
                f"{settings.secrets / 'audit_key'} is missing, and the backup has no secrets. Fix: "
                "put your copy of the secrets there and run this again"
            )
        raise_guards(settings, new, manifest, key=keys[0], owner=owner)
        differing = _restore_configuration(scratch / "config", settings.root)
        before = _exchange(var, new, manifest, venue_folders(settings))
        shutil.rmtree(scratch, ignore_errors=True)
    return Restored(before, differing)


@contextlib.contextmanager
def _stopped(var: Path) -> Iterator[None]:
    """Hold every lock in `var`, so that nothing runs and nothing starts meanwhile.

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


def _keep_secrets(var: Path, new: Path) -> None:
    """Copy the secrets of today over those of the backup, which may have none.

    A run that was killed between its two renames has left them in the folder that it moved away.
    """
    moved = sorted(var.parent.glob(f"{var.name}{BEFORE}*"))
    if not (var / SECRETS).exists() and moved:
        var = moved[-1]
    for folder in (one for one in var.rglob(SECRETS) if one.is_dir() and not one.is_symlink()):
        target = new / folder.relative_to(var)
        shutil.copytree(folder, target, dirs_exist_ok=True, symlinks=True)


def _restore_configuration(folder: Path, root: Path) -> list[str]:
    differing = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
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
            before = _free_name(var)
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


def _free_name(var: Path) -> Path:
    name = f"{var.name}{BEFORE}{clock.now():%Y%m%dT%H%M%SZ}"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(one for one in map(var.with_name, names) if not one.exists())


def _carry_over(before: Path, var: Path, names: Collection[str]) -> None:
    for name in sorted(names):
        if (before / name).is_dir() and not (var / name).exists():
            (var / name).parent.mkdir(parents=True, exist_ok=True)
            (before / name).rename(var / name)
