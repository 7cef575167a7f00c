"""A PostgreSQL cluster of its own for tests: made, started, broken in every way, and thrown away.

    with Cluster() as cluster:                 # or make(), start(), ..., remove()
        url = cluster.new_database()           # migrated, of a role without any privilege
        cluster.stop("immediate")              # as a crash of the server
        cluster.start()

It listens on a port of 127.0.0.1 and on a socket in its own folder, asks for a password, and is
ended by a guard even when the process that made it is killed. PostgreSQL refuses to run as root:
then it runs as the user `postgres` or `no one`.
"""

import contextlib
import itertools
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, Self

import psutil
import psycopg
from psycopg import sql

from tests.free_ports import free_port
from trading_ops.store import migrate

MISSING = (
    "PostgreSQL is not installed, and these tests need its `initdb` and `postgres`: "
    "run scripts/setup.sh --dev"
)
READY_SECONDS = 180
STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

FAST = {"fsync": "off", "full_page_writes": "off"}
"""For tests that kill nothing: a power cut is the only thing that this does not survive."""

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "log_min_messages": "warning",
    "timezone": "UTC",
}


class Cluster:
    """One server with its data folder; can be stopped and started any number of times."""

    def __init__(self, *, fast: bool = False, settings: dict[str, str] | None = None) -> None:
        """Make nothing yet.

        Args:
            fast: do not wait for the disk. Never for what proves durability.
            settings: more of `postgresql.conf`.
        """
        self.settings = SETTINGS | (FAST if fast else {}) | (settings or {})
        self.port = free_port()
        self.password = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._numbers = itertools.count(1)
        self._template = ""

    def __enter__(self) -> Self:
        try:
            self.make()
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    @property
    def folder(self) -> Path:
        """Where everything of it is."""
        assert self._folder is not None, "make() was not called"
        return self._folder

    @property
    def log(self) -> str:
        """The output of the server."""
        return (self.folder / "log").read_text(errors="replace")

    def make(self) -> None:
        """Make the data folder, with the user `admin` who may everything."""
        initdb = binary("initdb")
        self._folder = Path(tempfile.mkdtemp(prefix="trading-ops-postgres-"))
        self._guard = _start_guard(self._folder)
        password = self._folder / "password"
        password.write_text(self.password)
        owner = _owner()
        for path in (self._folder, password):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        command = [initdb, "-D", str(self._folder / "data"), "-U", "admin", "--auth=scram-sha-256"]
        command += [f"--pwfile={password}", "--encoding=UTF8", "--locale=C", "--no-instructions"]
        # The server's own fsync is what tests are about; of initdb's nothing depends.
        made = subprocess.run(
            [*command, "--no-sync"], capture_output=True, check=False, **self._as_owner()
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr.decode(errors='replace')[-800:]}")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        assert self._process is None, "it runs"
        command = [binary("postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        command += ["-k", str(self.folder)]
        for name, value in self.settings.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._as_owner(),
            )
        _until(self._answers, "PostgreSQL does not answer")

    def stop(self, mode: Literal["smart", "fast", "immediate", "kill"] = "immediate") -> None:
        """Stop the server: `fast` as an administrator does, `kill` as a loss of all processes."""
        if self._process is None:
            return
        family = self._family()
        if mode == "kill":
            for process in family:
                _signal(process, signal.SIGKILL)
        else:
            self._process.send_signal(STOP_SIGNALS[mode])
            for process in family:  # whatever is paused could not obey
                _signal(process, signal.SIGCONT)
        self._process.wait(READY_SECONDS)
        # Its children hold the shared memory, without which it can start again.
        psutil.wait_procs(family, timeout=READY_SECONDS)
        self._process = None

    def restart(self, mode: Literal["smart", "fast", "immediate", "kill"] = "immediate") -> None:
        """Stop and start."""
        self.stop(mode)
        self.start()

    def pause(self) -> None:
        """Freeze every process of it: connections stay open, and nothing answers."""
        for process in self._family():
            _signal(process, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it continue."""
        for process in reversed(self._family()):
            _signal(process, signal.SIGCONT)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Freeze it for the time of a block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def remove(self) -> None:
        """End it and delete its folder."""
        self.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._guard is not None:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard.wait(READY_SECONDS)
            self._guard = None

    def url(self, database: str, *, role: str = "trading_ops") -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql://{role}:{self.password}@127.0.0.1:{self.port}/{database}"

    def new_database(self, *, migrated: bool = True) -> str:
        """Make a database that belongs to the role `trading_ops`; return its URL."""
        if not self._template:
            role = "CREATE ROLE trading_ops LOGIN PASSWORD {}"
            self.execute(sql.SQL(role).format(self.password))
            self._template = self._create("template_migrated", "template0")
            migrate.upgrade(self.url(self._template))
        name = f"test_{next(self._numbers)}"
        return self.url(self._create(name, self._template if migrated else "template0"))

    def drop(self, url: str) -> None:
        """Drop a database, even with open connections."""
        name = sql.Identifier(url.rpartition("/")[2])
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def execute(self, statement: sql.Composed | str, database: str = "postgres") -> list[Any]:
        """Carry out one statement as administrator, outside a transaction; return its rows."""
        with self._admin(database) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def terminate_backends(self, url: str) -> int:
        """End every connection to a database, as a failover does; return how many there were."""
        name = url.rpartition("/")[2]
        with self._admin("postgres") as connection:
            return connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            ).rowcount

    def _create(self, name: str, template: str) -> str:
        self.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER trading_ops").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        return name

    def _admin(self, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="admin",
            password=self.password,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            self._process = None
            raise RuntimeError(f"PostgreSQL did not start: {self.log[-800:]}")
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _family(self) -> list[psutil.Process]:
        assert self._process is not None, "it does not run"
        return _family(self._process.pid)

    def _as_owner(self) -> dict[str, Any]:
        owner = _owner()
        # Not the caller's: their working directory may be closed to the other user.
        place: dict[str, Any] = {
            "cwd": self.folder,
            "env": {"PATH": os.defpath, "LC_ALL": "C"},
        }
        if os.geteuid() == 0:
            place |= {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        return place


def binary(name: str) -> str:
    """Return the path of one of PostgreSQL's programs, or fail saying how to get it."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    if config := shutil.which("pg_config"):
        asked = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        folders.append(Path(asked.stdout.strip()))
    debian = os.pathsep.join(str(folder) for folder in folders)
    found = shutil.which(name) or shutil.which(name, path=debian)
    if found is None:
        raise RuntimeError(MISSING)
    return found


def _version(folder: Path) -> int:
    number = folder.parent.name
    return int(number) if number.isdigit() else 0


def _owner() -> pwd.struct_passwd:
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError(
        "PostgreSQL does not run as root, and there is no user `postgres` or `nobody`: add one"
    )


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _until(ask: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not ask():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{otherwise} within {READY_SECONDS} s")
        time.sleep(0.02)


def _start_guard(folder: Path) -> subprocess.Popen[bytes]:
    """Start what cleans up when our end of its pipe is closed: by us, or by our death."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.postgres", str(folder)],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        start_new_session=True,
        env={},  # not measured as part of what is tested
    )


def _guard(folder: Path) -> None:
    sys.stdin.read()
    with contextlib.suppress(OSError, ValueError):
        family = _family(int((folder / "data" / "postmaster.pid").read_text().split()[0]))
        for process in family:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(family, timeout=READY_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))
