"""A restic repository: encrypted, deduplicated; a folder, SFTP, S3 or a REST server.

restic's exit code is not trusted: after a backup the manifest is read back, and `verify` compares
every file that restic returns with the manifest.
"""

import shutil
import signal
import subprocess
from collections.abc import Collection
from functools import partial
from pathlib import Path

import msgspec

from trading_ops import durable
from trading_ops.backup import disk, sftp
from trading_ops.backup import manifest as manifests
from trading_ops.backup.manifest import Damaged, Manifest, decode, encode
from trading_ops.backup.postgresql.tools import end_with_parent
from trading_ops.backup.repository import RepositoryListing
from trading_ops.errors import SetupError, StoreError
from trading_ops.redaction import redact

TAG = "trading-ops"
ID_TAG = "id="
MISSING = (
    "restic is not installed, and backup_repository names a restic repository. Fix: apt-get "
    "install restic, or leave backup_repository empty for the unencrypted folder"
)
SECONDS = 6 * 3600
LOCKED = "repository is already locked"


class _Snapshot(msgspec.Struct):
    id: str
    tags: list[str] = []

    @property
    def key(self) -> str:
        return next((tag.removeprefix(ID_TAG) for tag in self.tags if tag.startswith(ID_TAG)), "")


class ResticRepository:
    """Backups as snapshots with our tag; other snapshots in the repository are ignored."""

    encrypted = True

    def __init__(self, location: str, password: Path, *, work: Path) -> None:
        """Open the repository.

        Args:
            location: as for `restic -r`.
            password: file with the password.
            work: folder for a cache of manifests: reading one takes half a second.

        Raises:
            SetupError: restic is not installed, or there is no password.
        """
        if shutil.which("restic") is None:
            raise SetupError(MISSING)
        if not password.is_file():
            raise SetupError(
                f"the restic repository needs a password in {password}. Fix: write one "
                f"(umask 077; openssl rand -base64 32 > {password}) and keep a copy of it away "
                "from this host: without it no backup can be read"
            )
        self._location = location
        self._base = ["restic", "-r", location, "--password-file", str(password)]
        self._base += ["--cache-dir", str(work / "restic-cache")]
        self._known = work / "manifests"

    @property
    def location(self) -> str:
        """Return restic's location, without a password."""
        return f"restic {redact(self._location)} (encrypted)"

    def add(self, staging: Path, manifest: Manifest) -> None:
        """Back up the folder as one snapshot, and read its manifest back."""
        self._initialize()
        durable.write(staging / manifests.NAME, encode(manifest))
        tags = ["--tag", TAG, "--tag", f"{ID_TAG}{manifest.id}"]
        self._run("backup", "--json", "--host", TAG, *tags, ".", cwd=staging)
        stored = {snapshot.key: snapshot for snapshot in self._snapshots()}
        if manifest.id not in stored or self._dump(stored[manifest.id]) != encode(manifest):
            raise StoreError(f"restic stored a backup with another manifest than {manifest.id}")

    def listing(self) -> RepositoryListing:
        """Read the manifest of each snapshot with our tag."""
        found, damaged = [], []
        for snapshot in self._snapshots():
            try:
                found.append(self._manifest(snapshot))
            except (Damaged, StoreError) as error:
                damaged.append(f"{snapshot.key or snapshot.id[:8]}: {error}")
        return RepositoryListing(sorted(found, key=lambda manifest: manifest.order), damaged)

    def space(self) -> disk.Space | None:
        """Return the space of the file system of a local repository, or of one on an SFTP server.

        S3 and REST servers do not report it.
        """
        if self._location.startswith(sftp.SCHEME):
            return sftp.space(self._location)
        path = Path(self._location)
        return disk.space(path) if path.is_absolute() else None

    def fetch(self, manifest: Manifest, into: Path) -> None:
        """Restore the snapshot into a folder."""
        snapshot = next(
            (snapshot for snapshot in self._snapshots() if snapshot.key == manifest.id), None
        )
        if snapshot is None:
            raise Damaged(f"restic has no snapshot of {manifest.id}")
        try:
            self._run("restore", snapshot.id, "--target", str(into))
        except StoreError as error:
            raise Damaged(str(error)) from error
        (into / manifests.NAME).unlink(missing_ok=True)

    def remove(self, ids: Collection[str]) -> None:
        """Forget snapshots and remove the data that no other one needs."""
        gone = [snapshot.id for snapshot in self._snapshots() if snapshot.key in ids]
        if gone:
            self._run("forget", *gone)
        self._run("prune")

    def _initialize(self) -> None:
        try:
            self._run("cat", "config")
        except StoreError as error:
            try:
                self._run("init")
            except StoreError as refused:
                raise StoreError(f"the repository cannot be opened: {error}") from refused

    def _snapshots(self) -> list[_Snapshot]:
        output = self._run("snapshots", "--json", "--tag", TAG)
        try:
            return msgspec.json.decode(output or b"[]", type=list[_Snapshot])
        except msgspec.DecodeError as error:
            raise StoreError(f"the output of `restic snapshots` is invalid: {error}") from error

    def _manifest(self, snapshot: _Snapshot) -> Manifest:
        cached = self._known / snapshot.id
        if cached.is_file():
            try:
                return decode(cached.read_bytes())
            except Damaged:
                cached.unlink()
        data = self._dump(snapshot)
        manifest = decode(data)
        if manifest.id != snapshot.key:
            raise Damaged(f"the snapshot contains the manifest of {manifest.id}")
        durable.write(disk.private_folder(self._known) / snapshot.id, data)
        return manifest

    def _dump(self, snapshot: _Snapshot) -> bytes:
        return self._run("dump", snapshot.id, f"/{manifests.NAME}")

    def _run(self, *arguments: str, cwd: Path | None = None) -> bytes:
        try:
            return self._once(*arguments, cwd=cwd)
        except StoreError as error:
            if LOCKED not in str(error):
                raise
        self._once("unlock")  # removes only the locks of dead processes
        return self._once(*arguments, cwd=cwd)

    def _once(self, *arguments: str, cwd: Path | None = None) -> bytes:
        try:
            done = subprocess.run(
                [*self._base, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                cwd=cwd,
                timeout=SECONDS,
                # Left alone, it would store what the next backup removes. At SIGINT it unlocks;
                # restic before 0.17 does not at SIGTERM.
                preexec_fn=partial(end_with_parent, signal.SIGINT),
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StoreError(f"restic {arguments[0]} did not finish: {error}") from error
        if done.returncode:
            output = redact(done.stderr.decode(errors="replace").strip())[-500:]
            raise StoreError(f"restic {arguments[0]} failed ({done.returncode}): {output}")
        return done.stdout
