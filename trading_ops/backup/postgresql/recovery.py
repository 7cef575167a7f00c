"""Recovers a base and its WAL to one moment, with a temporary server on a Unix socket."""

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from trading_ops.backup.manifest import CapturedDatabase, Damaged
from trading_ops.backup.postgresql import pgbackrest, tools, wal
from trading_ops.backup.postgresql.chain import BASE, LAYOUT, WAL, Layout
from trading_ops.backup.postgresql.server import counting_engine, describe
from trading_ops.errors import StoreError
from trading_ops.store.backups import table_owner

DATA = "data"
CHECK_SECONDS = 0.05
STOP_SECONDS = 600
OLDEST_AMCHECK = 14
ALONE = {
    "listen_addresses": "",
    "archive_mode": "off",
    "shared_preload_libraries": "",
    "ssl": "off",
    "hot_standby": "off",
    "primary_conninfo": "",
    "synchronous_standby_names": "",
    "max_prepared_transactions": "64",
    "logging_collector": "off",
    "log_destination": "stderr",
    "lc_messages": "C",
    # The unit's MemoryDenyWriteExecute is inherited: generated code could not be executed.
    "jit": "off",
    # WAL is in the data folder; a recovery calls restore_command first.
    "restore_command": "false",
    "recovery_target_action": "promote",
}
"""Settings that keep the server isolated from the original's surroundings."""


@dataclass(frozen=True)
class RecoveryTarget:
    """The recovery target; neither: the end of the WAL."""

    time: datetime | None = None
    lsn: str | None = None

    @property
    def settings(self) -> dict[str, str]:
        """Return the settings for the server."""
        if self.time is not None:
            return {"recovery_target_time": self.time.isoformat(sep=" ")}
        if self.lsn is not None:
            return {"recovery_target_lsn": self.lsn, "recovery_target_inclusive": "off"}
        return {}


@dataclass(frozen=True)
class Scratch:
    """A running server."""

    layout: Layout
    socket: Path

    @property
    def url(self) -> str:
        """Return the URL of the database that was backed up, as its superuser."""
        return self._url(self.layout.superuser)

    @property
    def store_url(self) -> str:
        """Return the URL of the reconciler's database, as the owner of its tables."""
        engine = counting_engine(self.url)
        try:
            with engine.connect() as connection:
                owner = table_owner(connection)
        finally:
            engine.dispose()
        return self._url(owner or self.layout.superuser)

    def _url(self, role: str) -> str:
        made = URL.create(
            "postgresql",
            role,
            database=self.layout.database,
            query={"host": str(self.socket), "port": "5432"},
        )
        return made.render_as_string(hide_password=False)

    def check(self, expected: CapturedDatabase) -> list[str]:
        """Return the problems of the recovered database, one sentence each."""
        problems = []
        if self.layout.major >= OLDEST_AMCHECK:
            problems += _amcheck(self)
        engine = counting_engine(self.url)
        try:
            with engine.connect() as connection:
                found = describe(connection, counted=expected.wal_counted)
        except SQLAlchemyError as error:
            return [*problems, f"{expected.path}: {getattr(error, 'orig', None) or error}"]
        finally:
            engine.dispose()
        if (
            expected.wal_counted is None
        ):  # of a later moment; the chain must reach at least this event
            if (found.audit_head or 0) < (expected.audit_head or 0):
                problems.append(
                    f"{expected.path} ends with event {found.audit_head}, expected at least "
                    f"{expected.audit_head}"
                )
            return problems
        for name in ("rows", "newest", "revision", "audit_head"):
            has, wanted = getattr(found, name), getattr(expected, name)
            if has != wanted:
                problems.append(f"{expected.path}: {name} is {has}, expected {wanted}")
        return problems


@contextlib.contextmanager
def recovered(folder: Path, target: RecoveryTarget, *, scratch: bool = False) -> Iterator[Scratch]:
    """Recover a restored backup and keep its server running; shut it down afterwards.

    Args:
        folder: the PostgreSQL folder of a restored backup; it is changed.
        target: where the recovery ends.
        scratch: the data is deleted afterwards, so do not wait for the disk.

    Raises:
        Damaged: PostgreSQL does not recover.
        SetupError: its programs are not installed.
    """
    layout = _layout(folder)
    tools.program("postgres", layout.major)
    _assemble(folder, layout)
    repository = folder / pgbackrest.REPOSITORY if layout.label else None
    settings = target.settings | ({"fsync": "off"} if scratch else {})
    with serving(folder, settings, repository) as server:
        yield server
    if repository is not None:
        shutil.rmtree(repository)


@contextlib.contextmanager
def serving(
    folder: Path, settings: Mapping[str, str] | None = None, repository: Path | None = None
) -> Iterator[Scratch]:
    """Start a server on the data folder, and shut it down afterwards.

    Args:
        folder: the PostgreSQL folder of a restored backup, with a data folder.
        settings: of the server, besides those that isolate it.
        repository: of pgBackRest, from which the server takes WAL.

    Raises:
        Damaged: PostgreSQL does not start or recover.
        SetupError: its programs are not installed.
        StoreError: it did not shut down.
    """
    layout, data = _layout(folder), folder / DATA
    program = tools.program("postgres", layout.major)
    socket = Path(tempfile.mkdtemp(prefix="trading-ops-postgresql-"))
    try:
        for name, text in (("config", ""), ("hba", "local all all trust\n"), ("ident", "")):
            (socket / name).write_text(text)
        _change_owner(socket, data, *([repository] if repository else []))
        with (
            _wal_from(repository, layout, socket, data) as (more, opened),
            _running(
                program, data, socket, {**ALONE, **more, **(settings or {})}, opened
            ) as process,
        ):
            made = Scratch(layout, socket)
            _await(made, process, socket / "log")
            yield made
    finally:
        shutil.rmtree(socket, ignore_errors=True)


def _amcheck(server: Scratch) -> list[str]:
    command = [tools.program("pg_amcheck", server.layout.major), "--all", "--heapallindexed"]
    command += ["--install-missing", "--host", str(server.socket), "--port", "5432"]
    done = tools.run([*command, "--username", server.layout.superuser, "--no-password"])
    if done.returncode or done.stdout.strip():
        return [tools.failure(done)]
    return []


def _layout(folder: Path) -> Layout:
    return msgspec.json.decode((folder / LAYOUT).read_bytes(), type=Layout)


def _assemble(folder: Path, layout: Layout) -> None:
    """Create a data folder from the base and the WAL."""
    data = folder / DATA
    if layout.label:
        pgbackrest.restore(folder, layout, data)
        (data / "recovery.signal").touch(mode=0o600)
        return
    (folder / BASE).rename(data)
    for name in layout.folders:
        (data / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    data.chmod(0o700)
    for path in (folder / WAL).iterdir():
        target = data / "pg_wal" / path.name.removesuffix(wal.PARTIAL)
        path.rename(target)
        if wal.SEGMENT.match(target.name):
            os.truncate(target, layout.segment)
    (folder / WAL).rmdir()
    (data / "recovery.signal").touch(mode=0o600)


def _change_owner(*folders: Path) -> None:
    """Change the owner of folders to the server's user."""
    if (user := tools.server_user()) is None:
        return
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


@contextlib.contextmanager
def _wal_from(
    repository: Path | None, layout: Layout, socket: Path, data: Path
) -> Iterator[tuple[dict[str, str], list[int]]]:
    """Yield settings and open folders for a server that restores WAL from pgBackRest's repository.

    It fetches one segment at a time: all of them may be much larger than the data.
    """
    if repository is None:
        yield {}, []
        return
    with contextlib.ExitStack() as opened:
        descriptors = []
        for folder in (repository, data):  # open, as in `_running`
            descriptors.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
            opened.callback(os.close, descriptors[-1])
        config = socket / "pgbackrest.conf"
        places = [Path(f"/proc/self/fd/{descriptor}") for descriptor in descriptors]
        config.write_text(pgbackrest.configuration(layout, *places, lock=socket))
        get = shlex.join(
            [
                str(pgbackrest.program()),
                f"--config={config}",
                f"--stanza={layout.stanza}",
                "archive-get",
            ]
        )
        yield {"restore_command": f'{get} %f "%p"'}, descriptors


@contextlib.contextmanager
def _running(
    program: str,
    data: Path,
    socket: Path,
    settings: Mapping[str, str],
    descriptors: Collection[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    user = tools.server_user()
    # Passed as an open folder: the server's user may not have access to its parents.
    opened = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    command = [program, "-D", f"/proc/self/fd/{opened}", "-k", str(socket), "-p", "5432"]
    places = {"config_file": "config", "hba_file": "hba", "ident_file": "ident"}
    for name, value in {
        **settings,
        **{name: str(socket / file) for name, file in places.items()},
    }.items():
        command += ["-c", f"{name}={value}"]
    with (socket / "log").open("wb") as log:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},
                pass_fds=[opened, *descriptors],
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
                preexec_fn=tools.end_with_parent,  # noqa: PLW1509 - it calls the kernel, no more
            )
        finally:
            os.close(opened)
    try:
        yield process
    finally:
        process.send_signal(tools.FAST_SHUTDOWN)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise StoreError("PostgreSQL did not shut down after the recovery") from None
    if process.returncode:
        raise StoreError(f"PostgreSQL ended with {process.returncode} after the recovery")


def _await(server: Scratch, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the recovery has ended; before, the server accepts no connections."""
    ready = [tools.program("pg_isready", server.layout.major), "--host", str(server.socket)]
    while tools.run([*ready, "--port", "5432", "--quiet"]).returncode:
        if process.poll() is not None:
            output = log.read_text(errors="replace")
            fatal = [line for line in output.splitlines() if "FATAL" in line or "PANIC" in line]
            raise Damaged(f"PostgreSQL does not recover: {' '.join(fatal[-2:]) or output[-500:]}")
        time.sleep(CHECK_SECONDS)
