"""Finds and runs PostgreSQL's programs; none outlives our process."""

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from trading_ops.config.environment import program_environment
from trading_ops.errors import SetupError, StoreError
from trading_ops.redaction import redact

DEBIAN = "/usr/lib/postgresql"
SECONDS = 6 * 3600
PR_SET_PDEATHSIG = 1
FAST_SHUTDOWN = signal.SIGINT
_LIBC = ctypes.CDLL(None)


def program(name: str, major: int) -> str:
    """Return the path of a PostgreSQL program.

    Args:
        name: of the program.
        major: the server's major version. A data folder needs exactly that one.

    Raises:
        SetupError: it is not installed.
    """
    for place in (f"{DEBIAN}/{major}/bin", None):
        found = shutil.which(name, path=place)
        if found and _major(found) == major:
            return found
    raise SetupError(
        f"{name} of PostgreSQL {major} is not installed on this host, and backups need it. Fix: "
        f"apt-get install postgresql-{major}, or put its bin folder into PATH"
    )


def _major(path: str) -> int | None:
    output = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    number = output.partition(")")[2].split()[:1]  # "postgres (PostgreSQL) 15.18 (Debian …)"
    digits = (number[0] if number else "").partition(".")[0]
    return int(digits) if digits.isdigit() else None


def run(
    command: Sequence[str], password: str | None = None, *, user: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to completion; the caller checks the result.

    Args:
        command: with its arguments.
        password: for PostgreSQL.
        user: to run as; None: the current user.

    Raises:
        StoreError: it could not be started, or hangs.
    """
    extra = {"PGPASSWORD": password} if password else {}
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=SECONDS,
            env=program_environment(LC_ALL="C", **extra),
            preexec_fn=end_with_parent,
            cwd="/",
            user=user,
            group=None if user is None else pwd.getpwuid(user).pw_gid,
            extra_groups=None if user is None else [],
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StoreError(f"{Path(command[0]).name} did not finish: {error}") from error


def failure(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last output of a program, without passwords."""
    name = Path(done.args[0]).name
    output = redact((done.stderr or done.stdout).strip())[-500:]
    return f"{name} failed ({done.returncode}): {output}"


def end_with_parent(by: signal.Signals = signal.SIGQUIT) -> None:
    """Make the kernel kill this process when its parent dies, even by SIGKILL.

    Args:
        by: the signal. At SIGQUIT, a server exits immediately with all its children.
    """
    _LIBC.prctl(PR_SET_PDEATHSIG, by.value, 0, 0, 0)


def server_user() -> pwd.struct_passwd | None:
    """Return the user to run a server as; None: the current user.

    PostgreSQL refuses to run as root.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise SetupError(
        "PostgreSQL does not run as root, and this host has no user `postgres` or `nobody`. Fix: "
        "run this as another user"
    )
