"""The stack's own disk is almost full, partly with old logs of the bot, which may be deleted.

A shared disk is never filled, so this works only if the stack's folder is a separate, small
mounted file system; see docs/runbooks.md.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trading_ops.domain.target import Target
from trading_ops.errors import NotPossibleHere, StackError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.base import Fault
from trading_ops_lab.faults.free_memory import spare_bytes

MEBIBYTE = 1024 * 1024
LOW = 512 * MEBIBYTE
"""Free share at which the alert fires, as in prometheus/rules/host.yml and the runbook."""

BELOW = 64 * MEBIBYTE
"""Margin below it, so that only removing old logs resolves the alert."""

LOGS, LOG = 13, 10 * MEBIBYTE
"""Number and size of the old log files: as much as a bot may keep, and incompressible."""

SMALLEST = 1024 * MEBIBYTE
LARGEST = 4096 * MEBIBYTE
"""Larger file systems are considered shared and never filled."""

MEMORY_LEFT = 1024 * MEBIBYTE
"""Memory that must stay free, since the stack's own file system is often a tmpfs."""

FILL = "drill.fill"


@dataclass(frozen=True, kw_only=True)
class Room:
    """Size and usage of a file system, in bytes."""

    own: bool
    """Whether it is mounted at the stack's own folder, so that nothing else uses it."""

    size: int
    free: int


class FullDisk(Fault):
    """Filled with a foreign file and old logs; the evidence is the file system itself."""

    describe = "the stack's own disk is almost full and contains old logs of the bot"

    def __init__(self) -> None:
        self._fill = Path()
        self._bytes = 0
        self._logs: tuple[Path, ...] = ()

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Write old logs, and fill the remaining space.

        Raises:
            NotPossibleHere: the disk is shared or too small.
            StackError: the bot has no log there.
        """
        if bot.service is None or not (scene.settings.logs / f"{bot.service.unit}.log").exists():
            raise StackError(f"{bot.name} has no log file in {scene.settings.logs}")
        var = scene.settings.var
        self._bytes = bytes_to_fill(var, room_of(var), spare_bytes(os.getpid()))
        self._fill = var / FILL
        self._logs = tuple(_names(scene.settings.logs, bot.service.unit))
        try:
            for path in self._logs:
                path.write_bytes(os.urandom(LOG))
            with self._fill.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._bytes)
        except BaseException as error:
            await self.clean_up(scene, bot, "")
            if isinstance(error, OSError):
                raise StackError(f"{error.filename or var}: {error.strerror}") from error
            raise
        return str(self._fill)

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Remove what is left of the drill's files, and nothing else."""
        del scene, bot, key
        for path in (self._fill, *self._logs):
            path.unlink(missing_ok=True)

    async def evidence(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Check the free space, and that the foreign file is unchanged."""
        del bot, since
        room = room_of(scene.settings.var)
        removed = sum(not path.exists() for path in self._logs)
        is_full = self._fill.exists() and self._fill.stat().st_size == self._bytes
        if room.free < LOW or not removed or not is_full:
            return None
        return (
            f"the file system has {room.free // MEBIBYTE} MiB free: {removed} old log files are "
            "gone, and the file that filled it is not"
        )


def room_of(folder: Path) -> Room:
    """Return size and usage of a folder's file system."""
    space = os.statvfs(folder)
    return Room(
        own=folder.is_mount(),
        size=space.f_blocks * space.f_frsize,
        free=space.f_bavail * space.f_frsize,
    )


def bytes_to_fill(folder: Path, room: Room, memory: int) -> int:
    """Return the size of the file that fills the disk in addition to the logs.

    Raises:
        NotPossibleHere: the disk may not be filled, or filling it would have no effect.
    """
    if not room.own:
        raise NotPossibleHere(
            f"{folder} is on a shared disk, and a drill fills only a disk of the stack's own. "
            "Mount one of 1 GiB at that folder first: docs/runbooks.md, Drills"
        )
    if room.size < SMALLEST:
        raise NotPossibleHere(
            f"the file system of {folder} has {room.size // MEBIBYTE} MiB, and the "
            "rule ignores those below 1 GiB"
        )
    if room.size > LARGEST:
        raise NotPossibleHere(
            f"the file system of {folder} has {room.size // MEBIBYTE} MiB, and one of more than "
            f"{LARGEST // MEBIBYTE} MiB may be a shared disk"
        )
    wanted = room.free - (LOW - BELOW) - LOGS * LOG
    if wanted <= 0:
        raise NotPossibleHere(f"only {room.free // MEBIBYTE} MiB are free on {folder} already")
    if memory - (wanted + LOGS * LOG) < MEMORY_LEFT:
        raise NotPossibleHere(f"only {memory // MEBIBYTE} MiB of memory are free on this machine")
    return wanted


def _names(folder: Path, unit: str) -> Iterator[Path]:
    """Yield names of logs older than any other, so that they are removed first."""
    for number in range(LOGS):
        yield folder / f"{unit}.log.20000101T000000.{number:06}.gz"
