"""Base backups and WAL on this host, for the next backup.

    bases/START/data/…     a base backup, without WAL
    bases/START/base.json  written last; without it the base is incomplete wal/SEGMENT
    the newest one ends with .partial

Every backup contains the *oldest* base here and all WAL since its start, so that any moment in
between can be restored from that one backup. The first backup of each day (UTC) takes a new base.
That backup still contains the old base, with WAL to beyond the start of the new one, so that there
is no gap. `forget` then removes the old base.

No replication slot exists between two backups: while this host is down, it would retain WAL until
the server's disk is full. `wal_keep_size` is used instead; if the server has removed needed WAL, a
new base is taken.
"""

import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from trading_ops import durable, logs
from trading_ops.backup import disk
from trading_ops.backup.manifest import FileEntry, describe, describe_file
from trading_ops.backup.postgresql import tools, wal
from trading_ops.backup.postgresql.server import Server
from trading_ops.errors import StoreError

log = logs.get(__name__)

BASE, WAL, LAYOUT = "base", "wal", "layout.json"
HASHES = "wal.json"
MODE = 0o600


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Facts that a recovery needs besides the files."""

    major: int
    segment: int
    """Size of a WAL segment in bytes."""

    database: str
    superuser: str
    folders: tuple[str, ...]
    """Folders of the base: PostgreSQL does not start without the empty ones."""

    stanza: str = ""
    label: str = ""
    """Label of a pgBackRest set; empty: a base backup and its WAL."""

    bytes: int = 0
    """Size of the data folder that pgBackRest restores."""


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """One base backup."""

    system: str
    """The cluster's identifier."""

    start: str
    """LSN from which it needs WAL."""

    taken_at: datetime
    """The server's time when it was complete: the first moment that can be restored."""

    layout: Layout
    entries: tuple[FileEntry, ...]
    """Hashed once, so that a copy that becomes corrupt later is not taken for the original."""

    @property
    def name(self) -> str:
        """Return the name of its folder."""
        return f"{wal.position(self.start):016X}"


class Chain:
    """The folder of bases and WAL."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bases, self._wal = folder / "bases", folder / WAL
        for path in (self._bases, self._wal):
            disk.private_folder(path)

    def refresh(self, server: Server) -> Base:
        """Take a base when one is due; return the base of this backup.

        Raises:
            StoreError: the server failed.
            SetupError: a program is missing, or there is too little space.
        """
        bases = self._complete()
        if bases and bases[0].system != server.system:
            bases = []
        if bases:
            try:
                self.receive(server, bases[0], server.mark())
            except StoreError as error:
                log.warning("wal_missing", error=str(error), effect="a new base backup")
                bases = []
        if not bases:
            return self._take(server, first=True)
        if bases[-1].taken_at.date() < server.now().date():
            self._take(server, first=False)
        return bases[0]

    def receive(self, server: Server, base: Base, end: int) -> None:
        """Receive the WAL up to a position.

        Raises:
            StoreError: the server failed, or has removed WAL that is needed.
        """
        command = [tools.program("pg_receivewal", server.major), "--directory", str(self._wal)]
        # pg_receivewal exits once it has received more than this.
        command += ["--endpos", wal.written(end - 1), "--no-loop", *server.arguments]
        done = tools.run(command, server.password)
        present = {wal.order_of(path.name) for path in self._segments()}
        needed = wal.segments(wal.position(base.start), end, base.layout.segment)
        missing = [segment for segment in needed if segment not in present]
        if done.returncode:
            raise StoreError(tools.failure(done))
        if missing:
            raise StoreError(
                f"{len(missing)} segments of WAL are missing, the first is {missing[0]}"
            )

    def stage(self, base: Base, into: Path) -> dict[str, FileEntry]:
        """Put the base and its WAL into a backup's folder; return the entries that are known."""
        disk.private_folder(into)
        layout = into / LAYOUT
        layout.write_bytes(msgspec.json.encode(base.layout))
        layout.chmod(MODE)
        known = {f"{BASE}/{entry.path}": entry for entry in base.entries}
        for entry in base.entries:
            target = into / BASE / entry.path
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.link(self._bases / base.name / "data" / entry.path, target)
        (into / WAL).mkdir(mode=0o700)
        hashes = self._hashes()
        first = wal.segment_of(wal.position(base.start), base.layout.segment)
        for path in self._segments():
            if wal.order_of(path.name) < first:
                continue
            target = into / WAL / path.name
            if path.suffix == wal.PARTIAL:
                target.write_bytes(path.read_bytes().rstrip(b"\0"))
                target.chmod(MODE)
            else:
                os.link(path, target)
                if path.name not in hashes:
                    hashes[path.name] = describe_file(path, path.name)
                known[f"{WAL}/{path.name}"] = hashes[path.name]
        for path in self._wal.iterdir():
            if wal.HISTORY.match(path.name):
                os.link(path, into / WAL / path.name)
        durable.write(self._folder / HASHES, msgspec.json.encode(hashes))
        return known

    def forget(self) -> None:
        """Remove all bases except the newest, and older WAL, once a backup with them is stored."""
        *old, newest = self._complete()
        for base in old:
            shutil.rmtree(self._bases / base.name)
        first = wal.segment_of(wal.position(newest.start), newest.layout.segment)
        gone = [segment for segment in self._segments() if wal.order_of(segment.name) < first]
        for path in gone:
            path.unlink()
        kept = {
            name: digest for name, digest in self._hashes().items() if wal.order_of(name) >= first
        }
        durable.write(self._folder / HASHES, msgspec.json.encode(kept))

    def _take(self, server: Server, *, first: bool) -> Base:
        disk.require_space(self._folder, server.size, "the base backup")
        new = disk.empty_folder(self._bases / "new")
        command = [tools.program("pg_basebackup", server.major), "--pgdata", str(new / "data")]
        command += ["--wal-method=stream", "--checkpoint=fast", "--manifest-checksums=SHA256"]
        command += ["--label=trading-ops", *server.arguments]
        done = tools.run(command, server.password)
        if done.returncode:
            raise StoreError(tools.failure(done))
        verify = tools.program("pg_verifybackup", server.major)
        verified = tools.run([verify, "--no-parse-wal", str(new / "data")])
        if verified.returncode:
            raise StoreError(tools.failure(verified))
        taken_at = server.now()
        self._take_wal(new / "data" / "pg_wal", first=first)
        base = Base(
            system=server.system,
            start=_start(new / "data" / "backup_label"),
            taken_at=taken_at,
            layout=Layout(
                major=server.major,
                segment=server.segment,
                database=server.database,
                superuser=server.superuser,
                folders=tuple(_folders(new / "data")),
            ),
            entries=describe(new / "data"),
        )
        durable.write(new / "base.json", msgspec.json.encode(base))
        target = self._bases / base.name
        shutil.rmtree(target, ignore_errors=True)
        new.replace(target)
        durable.sync(self._bases)
        return base

    def _take_wal(self, received: Path, *, first: bool) -> None:
        """Use the WAL of the first base; for later ones it is already here."""
        if first:
            for name in ("bases", "wal"):
                for path in (self._folder / name).iterdir():
                    if path.name != "new":
                        shutil.rmtree(path) if path.is_dir() else path.unlink()
            (self._folder / HASHES).unlink(missing_ok=True)
        segments = sorted(path for path in received.iterdir() if path.is_file())
        complete = [segment for segment in segments if wal.SEGMENT.match(segment.name)]
        for path in segments:
            if not first:
                path.unlink()
            elif path in complete[-1:]:
                # The rest of the segment is empty: the next WAL starts in it or after it.
                path.replace(self._wal / f"{path.name}{wal.PARTIAL}")
            else:
                path.replace(self._wal / path.name)
        durable.sync(self._wal)

    def _complete(self) -> list[Base]:
        found = []
        for path in sorted(self._bases.iterdir()):
            try:
                found.append(msgspec.json.decode((path / "base.json").read_bytes(), type=Base))
            except (OSError, msgspec.DecodeError):
                shutil.rmtree(path, ignore_errors=True)
        return sorted(found, key=lambda path: path.name)

    def _segments(self) -> Iterator[Path]:
        for path in sorted(self._wal.iterdir()):
            if wal.SEGMENT.match(path.name.removesuffix(wal.PARTIAL)):
                yield path

    def _hashes(self) -> dict[str, FileEntry]:
        try:
            return msgspec.json.decode(
                (self._folder / HASHES).read_bytes(), type=dict[str, FileEntry]
            )
        except (OSError, msgspec.DecodeError):
            return {}


def _start(label: Path) -> str:
    for line in label.read_text().splitlines():
        if line.startswith("START WAL LOCATION: "):
            return line.split()[3]
    raise StoreError("pg_basebackup wrote no start LSN to backup_label")


def _folders(data: Path) -> Iterator[str]:
    for path in sorted(data.rglob("*")):
        if path.is_dir():
            yield path.relative_to(data).as_posix()
