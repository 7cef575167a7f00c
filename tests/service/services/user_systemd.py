"""A systemd of our own to test against: a user's instance, in a mount namespace where it may run.

`systemd --user` refuses to start where PID 1 is not systemd: it looks for a folder in /run. A mount
namespace gives it that folder without touching the machine.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import PATIENCE, TICK_SECONDS

SYSTEMD = Path("/lib/systemd/systemd")

START = """
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && exec {systemd} --user
"""


def why_not() -> str | None:
    """Return what this machine lacks for it, or None."""
    if os.geteuid():
        return "only root may make a mount namespace here"
    if not SYSTEMD.exists():
        return "systemd is not installed"
    if not shutil.which("dbus-daemon"):
        return "dbus-daemon is not installed"
    return None


@dataclass(frozen=True)
class UserSystemd:
    """A running instance."""

    folder: Path

    @property
    def bus(self) -> str:
        """The address of its D-Bus."""
        return f"unix:path={self.folder}/run/bus"

    def install(self, name: str, text: str) -> None:
        """Write a unit, and have systemd read it."""
        (self.folder / "config" / "systemd" / "user" / name).write_text(text, encoding="utf-8")
        self.systemctl("daemon-reload")

    def systemctl(self, *arguments: str) -> str:
        """Run systemctl on it, and return its output."""
        environment = {
            "PATH": os.defpath,
            "XDG_RUNTIME_DIR": f"{self.folder}/run",
            "DBUS_SESSION_BUS_ADDRESS": self.bus,
        }
        done = subprocess.run(
            ["systemctl", "--user", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout


def _wait_for(socket: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10.0 * PATIENCE
    while not socket.exists():
        assert process.poll() is None, "systemd --user did not start"
        assert time.monotonic() < deadline, "systemd --user made no socket"
        time.sleep(TICK_SECONDS)


@contextlib.contextmanager
def user_systemd(folder: Path) -> Iterator[UserSystemd]:
    """Run one, with its sockets and units in the folder, whose path must be short."""
    (folder / "run").mkdir(mode=0o700)
    (folder / "config" / "systemd" / "user").mkdir(parents=True)
    environment = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder / "run"),
        "XDG_CONFIG_HOME": str(folder / "config"),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", START.format(systemd=SYSTEMD)],
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            _wait_for(folder / "run" / "bus", process)
            yield UserSystemd(folder)
        finally:
            process.send_signal(signal.SIGTERM)  # it stops all units and exits
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
