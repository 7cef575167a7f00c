"""The directory of one API key: locks that decide which local processes may issue its nonces.

The directory name is a hash of the key, so bots that share a key use the same directory and the key
is not disclosed. Both locks are kernel locks (`flock`): they end with the process, also at SIGKILL.

- `lock`, the ownership lock, is held as long as the source is open: exclusive by one process, or
  shared by all processes that share the key.
- `door`, the setup lock, is held only while a process opens the directory and prepares its files.
"""

import fcntl
import hashlib
import os
import time
from pathlib import Path

from trading_ops import clock, durable
from trading_ops.errors import SetupError

SETUP_LOCK_SECONDS = 5.0
"""How long to wait for a process that is opening the same directory; it needs milliseconds."""

POLL_SECONDS = 0.001


def key_folder(home: Path, key: str) -> Path:
    """Return the directory of an API key below `home`."""
    return home / hashlib.sha256(key.encode()).hexdigest()[:16]


class KeyFolder:
    """A locked key directory, held by one process or shared by several.

    Example:
        folder = KeyFolder(key_folder(home, api_key), shared=False)
        prepare_files(folder.path)
        folder.release_setup_lock()
        ...
        folder.close()
    """

    def __init__(self, path: Path, *, shared: bool) -> None:
        """Lock the directory, and keep the setup lock until `release_setup_lock`.

        Args:
            path: the directory; it is created if it does not exist.
            shared: whether other processes that also pass True may hold it at the same time.

        Raises:
            SetupError: another process holds it, or it cannot be read or written.
        """
        self.path = path
        try:
            is_new = not path.exists()
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if is_new and durable.state_mode(path.parent) & durable.GROUP_ONLY:
                path.chmod(0o750)
            self._setup_lock = self._open("door")
            self._ownership_lock = self._open("lock")
        except OSError as error:
            raise unusable_folder(path, error) from error
        self.alone = True
        """Whether no other process held the directory when this one locked it."""

        try:
            self._acquire_setup_lock()
            self._acquire_ownership(shared=shared)
        except BaseException:
            self.close()
            raise

    def release_setup_lock(self) -> None:
        """Let the next process open the folder; call this when its files are prepared."""
        fcntl.flock(self._setup_lock, fcntl.LOCK_UN)

    def close(self) -> None:
        """Release both locks."""
        os.close(self._setup_lock)
        os.close(self._ownership_lock)

    def _open(self, name: str) -> int:
        return os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _acquire_setup_lock(self) -> None:
        deadline = clock.monotonic() + SETUP_LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self._setup_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if clock.monotonic() >= deadline:
                    raise SetupError(
                        f"{self.path}: another process has held the setup lock of this folder for"
                        f" more than {SETUP_LOCK_SECONDS:g} s. Fix: stop the frozen bot that uses"
                        " this key"
                    ) from error
                time.sleep(POLL_SECONDS)
            else:
                return

    def _acquire_ownership(self, *, shared: bool) -> None:
        try:
            fcntl.flock(self._ownership_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._ownership_lock, 0)
            os.pwrite(self._ownership_lock, str(os.getpid()).encode(), 0)
        except BlockingIOError as error:
            self.alone = False
            if not shared:
                raise self._held_by_other("owns or shares") from error
        except OSError as error:
            raise unusable_folder(self.path, error) from error
        if shared:
            try:
                fcntl.flock(self._ownership_lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise self._held_by_other("owns") from error

    def _held_by_other(self, how: str) -> SetupError:
        pid = os.pread(self._ownership_lock, 20, 0).decode("ascii", "replace") or "unknown"
        return SetupError(
            f"{self.path}: another process (pid {pid}) {how} the nonces of this key. Fix: stop it,"
            ' or give this bot its own key, or set "nonces": "shared" for all bots of the key'
        )


def unusable_folder(path: Path, error: Exception) -> SetupError:
    """Return the error to raise when a key directory cannot be read or written."""
    return SetupError(
        f"{path}: nonces cannot be stored here: {error}. Fix: make the folder writable, free space"
        " on its disk, or set nonce_dir to another folder"
    )
