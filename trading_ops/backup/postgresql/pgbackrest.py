"""The pgBackRest driver for PostgreSQL: sets of pgBackRest and archived WAL.

pgBackRest's own repository on this host replaces the `Chain`. Every backup contains the files of
its *oldest* set, of the sets that it depends on, and all WAL since its start. The first backup of
each day (UTC) takes a new set, a full one each week. That backup still contains the old set, with
WAL to beyond the end of the new one, so that there is no gap: pgBackRest's times are whole seconds,
and up to one second between two sets would belong to neither.

The sets of others in the same stanza stay: only sets that were taken here are removed, each by its
label and only when no other set depends on it.

Its exit code is not trusted. After a backup, `info` must list the set without an error, and each
WAL segment must be in the repository. `verify` is not used, because it exits with 0 for a damaged
repository: the manifest has the SHA-256 of each file, and the restore test recovers from them.
"""

import configparser
import os
import re
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec.structs import replace

from trading_ops import clock, durable, logs
from trading_ops.backup import disk
from trading_ops.backup.manifest import Damaged, FileEntry, describe_file, files
from trading_ops.backup.postgresql import tools, wal
from trading_ops.backup.postgresql.chain import LAYOUT, MODE, Layout
from trading_ops.backup.postgresql.server import Server
from trading_ops.errors import SetupError, StoreError

log = logs.get(__name__)

REPOSITORY = "repository"
DEFAULT_PATH = "/var/lib/pgbackrest"
FULL_EVERY = timedelta(days=7)
ARCHIVE_SECONDS, CHECK_SECONDS = 10.0, 0.1
"""Parallel archiving may finish an older segment after the one for which `check` waits."""

SEGMENT = re.compile(r"^[0-9A-F]{24}-[0-9a-f]{40}(\.[a-z0-9]+)?$")
KEEP = ("--repo1-retention-full=9999999", "--repo1-retention-archive-type=incr")
"""Every other set, whatever the configuration says, and its WAL."""

MISSING = (
    "pgBackRest is not installed on this host, and backup_pgbackrest is set. Fix: apt-get install "
    "pgbackrest"
)


class _Lsn(msgspec.Struct):
    start: str
    stop: str


class _Size(msgspec.Struct):
    size: int


class _Time(msgspec.Struct):
    start: int
    stop: int


class _Key(msgspec.Struct):
    id: int


class _Listed(msgspec.Struct):
    """A set in the output of `info`."""

    label: str
    type: str
    database: _Key
    lsn: _Lsn
    info: _Size
    timestamp: _Time
    reference: list[str] | None = None
    error: bool = False


class _Cluster(msgspec.Struct, rename="kebab"):
    id: int
    system_id: int
    version: str


class _Stanza(msgspec.Struct):
    name: str
    backup: list[_Listed] = []
    db: list[_Cluster] = []


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A set that this installation took."""

    label: str
    needs: tuple[str, ...]
    """Labels of the sets on which it depends."""

    archive: str
    """Folder of its WAL, such as `15-1`."""

    system: str
    start: str
    taken_at: datetime
    """The server's time when it was complete: the first moment that can be restored."""

    layout: Layout

    is_over: bool = False
    """Whether newer backups do without it; it is removed once no set depends on it."""


class PgBackRest:
    """pgBackRest with the operator's configuration file."""

    def __init__(self, folder: Path, config: Path) -> None:
        """Read the configuration.

        Raises:
            SetupError: pgBackRest is not installed, or the file does not describe one stanza and
                an unencrypted repository on this host.
        """
        self._taken_file, self._hashes = folder / "sets.json", folder / "hashes.json"
        disk.private_folder(folder)
        self._config = config
        self._stanza, self._path = _read(config)
        self._program = program()

    def refresh(self, server: Server) -> Taken:
        """Take a set if one is due; return the set of this backup.

        Raises:
            StoreError: it could not be taken.
            SetupError: there is too little space.
        """
        stanza = self._stanza_of(server)
        present = {listed.label for listed in stanza.backup}
        taken = [backup for backup in self._taken() if backup.label in present]
        own = [backup for backup in taken if not backup.is_over and backup.system == server.system]
        if own and (missing := self._await(own[0], self._newest(own[0]))):
            log.warning("wal_missing", first=missing[0], effect="a new set")
            own = []
        if not own or own[-1].taken_at.date() < server.now().date():
            over = [replace(backup, is_over=True) for backup in taken if backup not in own]
            own.append(self._take(server, stanza))
            durable.write(self._taken_file, msgspec.json.encode([*over, *own]))
        return own[0]

    def _stanza_of(self, server: Server) -> _Stanza:
        """Return the stanza, made or upgraded if need be.

        Raises:
            StoreError: it is of another server, of which nothing is taken.
        """
        stanza = self._info()
        if stanza.db and str(stanza.db[-1].system_id) == server.system:
            return stanza
        self._run("stanza-upgrade" if stanza.db else "stanza-create")
        stanza = self._info()
        if not stanza.db or str(stanza.db[-1].system_id) != server.system:
            raise StoreError(
                f"the stanza {self._stanza} of {self._config} belongs to another server than "
                "backup_database. Fix: let pg1-path be the data folder of that server"
            )
        return stanza

    def receive(self, _server: Server, taken: Taken, end: int) -> None:
        """Make the server archive its WAL up to a position.

        Raises:
            StoreError: it failed to, or needed WAL is missing.
        """
        self._run("check")
        if missing := self._await(taken, end):
            raise StoreError(
                f"{len(missing)} segments of WAL are not in pgBackRest's repository, the first is "
                f"{missing[0]}"
            )

    def stage(self, taken: Taken, into: Path) -> dict[str, FileEntry]:
        """Add the set and its WAL to a backup's folder; return the known entries."""
        disk.private_folder(into)
        layout = into / LAYOUT
        layout.write_bytes(msgspec.json.encode(taken.layout))
        layout.chmod(MODE)
        hashes, known = self._known(), {}
        for path in self._needed(taken):
            name = f"{REPOSITORY}/{path.relative_to(self._path).as_posix()}"
            _place(path, into / name)
            if ".info" not in path.name:
                known[name] = hashes.get(name) or describe_file(into / name, name)
        durable.write(self._hashes, msgspec.json.encode(known))
        return known

    def forget(self) -> None:
        """Remove the own sets before the newest on which no set depends: they are stored.

        WAL is removed that no set needs.
        """
        *old, newest = self._taken()
        if not old:
            return
        listed = self._info().backup
        over = [replace(backup, is_over=True) for backup in old]
        durable.write(self._taken_file, msgspec.json.encode([*over, newest]))
        for backup in reversed(over):
            if any(backup.label in (other.reference or ()) for other in listed):
                continue
            listed = [other for other in listed if other.label != backup.label]
            keep = (*KEEP, f"--repo1-retention-archive={len(listed)}")
            self._run("expire", f"--set={backup.label}", *keep)
        present = {backup.label for backup in listed}
        left = [backup for backup in (*over, newest) if backup.label in present]
        durable.write(self._taken_file, msgspec.json.encode(left))

    def _take(self, server: Server, stanza: _Stanza) -> Taken:
        full_since = clock.now() - FULL_EVERY
        is_incremental = any(
            backup.type == "full"
            and not backup.error
            and backup.database.id == stanza.db[-1].id
            and datetime.fromtimestamp(backup.timestamp.start, UTC) > full_since
            for backup in stanza.backup
        )
        disk.require_space(self._path, 0 if is_incremental else server.size, "the base backup")
        kind = "incr" if is_incremental else "full"
        self._run("backup", f"--type={kind}", "--start-fast", "--no-expire-auto")
        taken_at = server.now()
        before = {backup.label for backup in stanza.backup}
        stanza = self._info()
        listed = stanza.backup[-1] if stanza.backup else None
        if listed is None or listed.label in before:
            raise StoreError("pgBackRest reported a new backup but does not list it")
        if listed.error:
            raise StoreError(f"pgBackRest found damaged pages in PostgreSQL: set {listed.label}")
        cluster = next(database for database in stanza.db if database.id == listed.database.id)
        return Taken(
            label=listed.label,
            needs=tuple(listed.reference or ()),
            archive=f"{cluster.version}-{cluster.id}",
            system=server.system,
            start=listed.lsn.start,
            taken_at=taken_at,
            layout=Layout(
                major=server.major,
                segment=server.segment,
                database=server.database,
                superuser=server.superuser,
                folders=(),
                stanza=self._stanza,
                label=listed.label,
                bytes=listed.info.size,
            ),
        )

    def _needed(self, taken: Taken) -> Iterator[Path]:
        sets, archive = self._path / "backup" / self._stanza, self._archive(taken).parent
        for path in (sets / "backup.info", archive / "archive.info"):
            yield path
            yield path.with_name(f"{path.name}.copy")
        for label in (*taken.needs, taken.label):
            yield from files(sets / label)
        first = wal.segment_of(wal.position(taken.start), taken.layout.segment)
        for path in files(self._archive(taken)):
            archived = SEGMENT.match(path.name)  # not files that archive-push is still writing
            if wal.HISTORY.match(path.name) or (archived and wal.order_of(path.name) >= first):
                yield path

    def _archive(self, taken: Taken) -> Path:
        return self._path / "archive" / self._stanza / taken.archive

    def _orders(self, taken: Taken) -> set[str]:
        found = files(self._archive(taken))
        return {wal.order_of(path.name) for path in found if SEGMENT.match(path.name)}

    def _newest(self, taken: Taken) -> int:
        """Return the end of the newest segment in the repository."""
        start, segment = wal.position(taken.start), taken.layout.segment
        newest = max(self._orders(taken), default=wal.segment_of(start, segment))
        number = int(newest[:8], 16) * (2**32 // segment) + int(newest[8:], 16)
        return (number + 1) * segment

    def _await(self, taken: Taken, end: int) -> list[str]:
        """Wait for the segments from the set's start up to a position; return the missing ones."""
        needed = wal.segments(wal.position(taken.start), end, taken.layout.segment)
        deadline = clock.monotonic() + ARCHIVE_SECONDS
        while True:
            present = self._orders(taken)
            missing = [segment for segment in needed if segment not in present]
            if not missing or clock.monotonic() > deadline:
                return missing
            time.sleep(CHECK_SECONDS)

    def _info(self) -> _Stanza:
        output = self._run("info", "--output=json")
        try:
            found = msgspec.json.decode(output or "[]", type=list[_Stanza])
        except msgspec.DecodeError as error:
            raise StoreError(f"the output of `pgbackrest info` is invalid: {error}") from error
        return next(
            (stanza for stanza in found if stanza.name == self._stanza), _Stanza(self._stanza)
        )

    def _run(self, *arguments: str) -> str:
        command = [self._program, f"--config={self._config}", f"--stanza={self._stanza}"]
        command += ["--log-level-file=off", "--log-level-console=warn", "--log-level-stderr=off"]
        done = tools.run([*command, *arguments], user=_owner(self._path))
        if done.returncode:
            raise StoreError(f"pgbackrest {arguments[0]}: {tools.failure(done)}")
        return done.stdout

    def _taken(self) -> list[Taken]:
        try:
            return msgspec.json.decode(self._taken_file.read_bytes(), type=list[Taken])
        except (OSError, msgspec.DecodeError):
            return []

    def _known(self) -> dict[str, FileEntry]:
        try:
            return msgspec.json.decode(self._hashes.read_bytes(), type=dict[str, FileEntry])
        except (OSError, msgspec.DecodeError):
            return {}


def restore(folder: Path, layout: Layout, data: Path) -> None:
    """Write the set of a restored backup into a data folder, without its WAL.

    Raises:
        Damaged: pgBackRest rejects it.
        SetupError: it is not installed, or there is too little space.
    """
    disk.require_space(folder, layout.bytes, "the restored PostgreSQL")
    data.mkdir(mode=0o700)
    config = folder / "pgbackrest.conf"
    config.write_text(configuration(layout, folder / REPOSITORY, data, lock=folder / "lock"))
    command = [program(), f"--config={config}", f"--stanza={layout.stanza}"]
    command += ["--log-level-console=warn", "--log-level-stderr=off"]
    done = tools.run([*command, f"--set={layout.label}", "--type=none", "restore"])
    if done.returncode:
        raise Damaged(f"pgbackrest restore: {tools.failure(done)}")
    config.unlink()
    shutil.rmtree(folder / "lock", ignore_errors=True)


def configuration(layout: Layout, repository: Path, data: Path, *, lock: Path) -> str:
    """Return a configuration file for a restored repository."""
    return (
        f"[global]\nrepo1-path={repository}\nlog-level-file=off\nlock-path={lock}\n"
        f"[{layout.stanza}]\npg1-path={data}\n"
    )


def program() -> str:
    """Return the path of pgBackRest.

    Raises:
        SetupError: it is not installed.
    """
    if found := shutil.which("pgbackrest"):
        return found
    raise SetupError(MISSING)


def _read(config: Path) -> tuple[str, Path]:
    """Return the stanza and the repository's folder."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(config.read_text())
    except (OSError, configparser.Error) as error:
        raise SetupError(f"{config} (backup_pgbackrest) cannot be read: {error}") from error
    stanzas = [
        section for section in parser.sections() if section != "global" and ":" not in section
    ]
    if len(stanzas) != 1:
        raise SetupError(
            f"{config} (backup_pgbackrest) has {len(stanzas)} stanzas. Fix: name a file with one"
        )
    has = dict(parser["global"]) if "global" in parser else {}
    has |= parser[stanzas[0]]
    if (
        "repo1-host" in has
        or has.get("repo1-type", "posix") != "posix"
        or has.get("repo1-cipher-type", "none") != "none"
    ):
        raise SetupError(
            f"repo1 in {config} (backup_pgbackrest) must be a folder of this host, not encrypted. "
            "Fix: leave out repo1-host, repo1-type and repo1-cipher-type; what leaves this host is "
            "encrypted by restic, see backup_repository"
        )
    path = Path(has.get("repo1-path", DEFAULT_PATH))
    if not path.is_dir():
        raise SetupError(f"the repository {path} in {config} does not exist. Fix: create it")
    return stanzas[0], path


def _owner(path: Path) -> int | None:
    """Return the user to run as; the server's archive_command writes there too."""
    return path.stat().st_uid if os.geteuid() == 0 else None


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # on another file system, or owned by another user
        shutil.copyfile(source, target)
        target.chmod(MODE)
