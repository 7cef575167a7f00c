"""The environment of other programs that we start, and what systemd puts in ours."""

import os
from collections.abc import Mapping
from pathlib import Path

from trading_ops.config.settings import Settings

PREFIX = "TRADING_OPS_"
"""Of the variables that replace a value of `settings.yml`."""

HARMLESS = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "TZ",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
)
"""Variables that a command on restored data gets from our environment."""


def notification_socket(environ: Mapping[str, str] | None = None) -> tuple[str, float]:
    """Return systemd's notify socket and the watchdog interval in seconds; "" and 0: none.

    Args:
        environ: replaces the process environment in tests.
    """
    env = os.environ if environ is None else environ
    microseconds = env.get("WATCHDOG_USEC", "")
    seconds = int(microseconds) / 1e6 if microseconds.isdecimal() else 0.0
    return env.get("NOTIFY_SOCKET", ""), seconds


def child_environment(settings: Settings) -> dict[str, str]:
    """Return the environment for a child command that uses these settings' folders."""
    place = {f"{PREFIX}ROOT": str(settings.root), f"{PREFIX}VAR": str(settings.var)}
    return {**os.environ, **place}


def restored_environment(var: Path) -> dict[str, str]:
    """Return the environment for a command on restored data: no secrets, no live folder.

    Args:
        var: the restored folder `var`.
    """
    kept = {name: os.environ[name] for name in HARMLESS if name in os.environ}
    return kept | {f"{PREFIX}VAR": str(var)}


def other_environment(root: Path) -> dict[str, str]:
    """Return the environment for a command on another installation: our settings do not apply."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return kept | {f"{PREFIX}ROOT": str(root)}


def program_environment(**extra: str) -> dict[str, str]:
    """Return the environment for a program that is not ours: its own variables apply."""
    return {**os.environ, **extra}
