"""Secrets that others can read: files with open permissions, and copies in other files.

Copies are found by value: tokens, keys and passwords from the folder of secrets that were pasted
into a configuration file, a script or a note, or written to a log. Other secrets are found by
detect-secrets, if it is installed.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from trading_ops import clock
from trading_ops.backup.sources import venue_folders
from trading_ops.config.secret_files import refuse_exposed
from trading_ops.config.settings import Settings
from trading_ops.domain.report import Finding
from trading_ops.errors import ConfigError
from trading_ops.security import tools
from trading_ops.tls.expiry import expiries

SHORTEST = 12
"""Minimum characters; shorter values match by chance."""

LARGEST_BYTES = 50_000_000
CHUNK = 1 << 20
SECRETS = "secrets"
"""Name of the folders for secrets; Prometheus and Alertmanager have one too."""

SKIPPED = frozenset({".git", ".venv", "node_modules", "__pycache__", "data", "versions", SECRETS})
"""Skipped folders: not ours, samples, releases, or secrets."""

SKIPPED_PATHS = r"(^|/)(\.git|\.venv|node_modules|__pycache__|data|versions|secrets|log|var)/"
"""Folders skipped by the pattern scan: in `var`, only our own secrets are searched."""

SCAN_SECONDS = 600
LISTED = 10
"""Maximum lines named in a sentence."""

DAYS_LEFT = 30
DAY_SECONDS = 86400.0


class _Place(msgspec.Struct):
    type: str
    hashed_secret: str
    line_number: int


class _Scan(msgspec.Struct):
    results: dict[str, list[_Place]]


def exposed(settings: Settings) -> Iterator[Finding]:
    """Yield the secrets and private keys that every user of this machine can open."""
    folders = {settings.secrets, *settings.var.glob(f"*/{SECRETS}")}
    secrets = [path for folder in sorted(folders) for path in sorted(folder.rglob("*"))]
    for path in (*secrets, *sorted(settings.tls.glob("*.key"))):
        try:
            refuse_exposed(path)
        except ConfigError as error:
            yield Finding(topic="exposed secret", subject=str(path), text=str(error), fails=True)
        except OSError:
            continue  # removed in the meantime


def copied(settings: Settings) -> Iterator[Finding]:
    """Yield the files of the project, its logs and its state that contain one of our secrets."""
    values = _values(settings)
    if not values:
        return
    places = {settings.root.resolve(), settings.var.resolve(), settings.logs.resolve()}
    folders = _folders_of_secrets(settings)
    seen: set[Path] = set()
    for place in sorted(places):
        for path in _files(place, folders):
            if path in seen:
                continue
            seen.add(path)
            for name in _found_in(path, values):
                yield Finding(
                    topic="copied secret",
                    subject=str(path),
                    text=f"{path} contains the secret {name}: remove it there, and replace the "
                    "secret",
                    fails=True,
                )


def suspected(settings: Settings) -> Iterator[Finding]:
    """Yield the files of the project in which detect-secrets suspects a secret.

    A baseline, `.secrets.baseline` in the project folder, lists false positives.
    """
    command = ["scan", "--all-files", "--no-verify", "--exclude-files", SKIPPED_PATHS]
    baseline = settings.root / ".secrets.baseline"
    try:
        known = _scanned(baseline.read_bytes()).results if baseline.is_file() else {}
        found = _scanned(tools.run("detect-secrets", command, SCAN_SECONDS, within=settings.root))
    except (tools.Unanswered, OSError) as error:
        yield tools.not_checked("suspected secrets", str(error))
        return
    for name, places in sorted(found.results.items()):
        ours = (settings.root / name).resolve()
        left_out = any(ours.is_relative_to(folder) for folder in _folders_of_secrets(settings))
        hashes = {secret.hashed_secret for secret in known.get(name, [])}
        new = [place for place in places if place.hashed_secret not in hashes]
        if new and not left_out:
            lines = ", ".join(str(place.line_number) for place in new[:LISTED])
            yield Finding(
                topic="suspected secret",
                subject=name,
                text=f"{name} may contain a secret ({new[0].type}, line {lines}): remove it, or "
                "list it in .secrets.baseline",
                fails=True,
            )


def expiring(settings: Settings) -> Iterator[Finding]:
    """Yield the certificates that expire within `DAYS_LEFT` days."""
    if not settings.tls.is_dir():
        return
    for name, at in sorted(expiries(settings.tls).items()):
        days = (at - clock.timestamp()) / DAY_SECONDS
        if days < DAYS_LEFT:
            when = f"expires in {days:.0f} days" if days > 0 else "has expired, or is invalid"
            yield Finding(
                topic="certificate",
                subject=name,
                text=f"the certificate {name} {when}: trading-ops tls renew",
                fails=days <= 0,
            )


def _folders_of_secrets(settings: Settings) -> set[Path]:
    """Return the folders for secrets, including those of backups and paper venues."""
    repository = settings.root / (settings.backup_repository or "backups")
    venues = (settings.var / name for name in venue_folders(settings))
    return {folder.resolve() for folder in (settings.secrets, settings.tls, repository, *venues)}


def _scanned(output: bytes) -> _Scan:
    try:
        return msgspec.json.decode(output, type=_Scan)
    except msgspec.MsgspecError as error:
        raise tools.Unanswered(f"unknown answer of detect-secrets: {error}") from error


def _values(settings: Settings) -> Mapping[bytes, str]:
    """Return the names of our secrets by their values."""
    found: dict[bytes, str] = {}
    for path in sorted(settings.secrets.rglob("*")):
        try:
            lines = path.read_bytes().split() if path.is_file() else []
        except OSError:
            continue
        found |= {line: path.name for line in lines if len(line) >= SHORTEST}
    return found


def _files(place: Path, left_out: set[Path]) -> Iterator[Path]:
    for parent, folders, names in os.walk(place):
        folders[:] = [
            folder
            for folder in sorted(folders)
            if folder not in SKIPPED and Path(parent, folder).resolve() not in left_out
        ]
        yield from (Path(parent, name) for name in sorted(names))


def _found_in(path: Path, values: Mapping[bytes, str]) -> set[str]:
    """Return the names of the secrets in a file; only the end of a large file is searched."""
    longest = max(map(len, values))
    found: set[str] = set()
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return found
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LARGEST_BYTES))
            kept = b""
            while chunk := file.read(CHUNK):
                text = kept + chunk
                found |= {name for value, name in values.items() if value in text}
                kept = text[-longest:]
    except OSError:
        pass  # removed in the meantime, or not ours to read
    return found
