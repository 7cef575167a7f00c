"""The folder of one key: which processes of this machine may issue its nonces.

Its name is a hash of the key, so that bots that share a key meet in it and the key is not told.
The locks are the kernel's (`flock`): they end with the process, however it ends.
"""

import fcntl
import hashlib
import os
import time
from pathlib import Path

from trading_ops import clock
from trading_ops.errors import SetupError

DOOR_SECONDS = 5.0
NAP_SECONDS = 0.001


def folder_of(home: Path, key: str) -> Path:
    """Return the folder of a key."""
    return home / hashlib.sha256(key.encode()).hexdigest()[:16]


class Folder:
    """A key's folder, taken for life: by one owner, or by all who share."""

    def __init__(self, path: Path, *, shared: bool) -> None:
        """Take it.

        Args:
            path: the folder; it is made when it is not there.
            shared: whether other processes may take it too, as long as they share as well.

        Raises:
            SetupError: another process has it, or it cannot be used.
        """
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._door = self._open("door")
            self._life = self._open("lock")
        except OSError as error:
            raise cannot_use(path, error) from error
        self.alone = True
        """Whether nobody else had it when it was taken."""

        try:
            self._pass_the_door()
            self._take(shared=shared)
        except BaseException:
            self.close()
            raise

    def settled(self) -> None:
        """Let the next one in: what is to be prepared in the folder is there."""
        fcntl.flock(self._door, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give it up."""
        os.close(self._door)
        os.close(self._life)

    def _open(self, name: str) -> int:
        return os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _pass_the_door(self) -> None:
        """Wait for whoever is just taking the folder, which is a matter of milliseconds."""
        deadline = clock.monotonic() + DOOR_SECONDS
        while True:
            try:
                fcntl.flock(self._door, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if clock.monotonic() >= deadline:
                    raise SetupError(
                        f"{self.path}: another process has been taking this folder for more than"
                        f" {DOOR_SECONDS:g} s. Fix: end the bot of this key that is frozen"
                    ) from error
                time.sleep(NAP_SECONDS)
            else:
                return

    def _take(self, *, shared: bool) -> None:
        try:
            fcntl.flock(self._life, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._life, 0)
            os.pwrite(self._life, str(os.getpid()).encode(), 0)
        except BlockingIOError as error:
            self.alone = False
            if not shared:
                raise self._taken("owns or shares") from error
        except OSError as error:
            raise cannot_use(self.path, error) from error
        if shared:
            try:
                fcntl.flock(self._life, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise self._taken("owns") from error

    def _taken(self, how: str) -> SetupError:
        pid = os.pread(self._life, 20, 0).decode("ascii", "replace") or "unknown"
        return SetupError(
            f"{self.path}: another process (pid {pid}) {how} the nonces of this key. Fix: stop it,"
            ' or give this bot a key of its own, or set "nonces": "shared" for all bots of the key'
        )


def cannot_use(path: Path, error: Exception) -> SetupError:
    """Return what to raise when a folder cannot be used."""
    return SetupError(
        f"{path}: nonces cannot be kept here: {error}. Fix: make the folder writable and"
        " its disk not full, or name another one as nonce_dir"
    )
