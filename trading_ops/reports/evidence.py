"""An evidence bundle: everything that was decided, done and ordered in a period, signed.

A ZIP archive with `events.jsonl` (each event with its MAC), `summary.json` (who did what,
incidents, response times, backups) and `manifest.json`: the period, the head of the audit chain,
the SHA-256 and size of each file, and an HMAC of all that with the audit key.
"""

import hashlib
import hmac
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from trading_ops import __version__, clock
from trading_ops.errors import ConfigError
from trading_ops.reports.recovery_times import recovery_times
from trading_ops.store import Connection, audit_chain, backups, search
from trading_ops.store.events import Event
from trading_ops.store.reader import Reader
from trading_ops.store.search import Span

PAGE = 2_000
EVENTS, SUMMARY, MANIFEST = "events.jsonl", "summary.json", "manifest.json"
LARGEST_MANIFEST = 1_000_000
BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What a bundle holds, and what is wrong with it."""

    manifest: dict[str, Any]
    problems: tuple[str, ...] = ()


async def export(
    reader: Reader, path: Path, *, since: datetime, until: datetime, key: bytes
) -> Bundle:
    """Write the bundle of a period to a new file.

    Raises:
        StoreError: the database did not answer.
        FileExistsError: there is such a file.
        OSError: it cannot be written.
    """
    span = Span(since=since, until=until)
    digest, size, count = hashlib.sha256(), 0, 0
    kinds: Counter[str] = Counter()
    actors: Counter[str] = Counter()
    with (
        path.open("xb") as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        with archive.open(EVENTS, "w") as lines:
            after = 0
            while page := await reader.read(partial(_page, span=span, after=after)):
                for event in page:
                    kinds[event.kind] += 1
                    actors[event.actor] += 1
                text = b"".join(msgspec.json.encode(event) + b"\n" for event in page)
                digest.update(text)
                lines.write(text)
                size, count, after = size + len(text), count + len(page), page[-1].seq
        summary = await reader.read(partial(_summary, since=since, until=until))
        summary |= {"events_by_kind": dict(kinds), "events_by_actor": dict(actors)}
        said = msgspec.json.format(msgspec.json.encode(summary), indent=2)
        archive.writestr(SUMMARY, said)
        head = await reader.read(audit_chain.newest)
        manifest: dict[str, Any] = {
            "since": since.isoformat(),
            "until": until.isoformat(),
            "made_at": clock.now().isoformat(),
            "release": __version__,
            "events": count,
            "audit_head": {"seq": head.seq, "mac": head.mac},
            "files": {
                EVENTS: {"sha256": digest.hexdigest(), "bytes": size},
                SUMMARY: {"sha256": hashlib.sha256(said).hexdigest(), "bytes": len(said)},
            },
        }
        signed = manifest | {"signature": _mac(manifest, key)}
        archive.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(signed), indent=2))
    return Bundle(manifest=signed)


def check(path: Path, keys: Sequence[bytes]) -> Bundle:
    """Compare a bundle with its manifest, and the manifest with the audit key.

    Raises:
        ConfigError: it is not a bundle.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            with archive.open(MANIFEST) as file:
                text = file.read(LARGEST_MANIFEST)
            manifest = msgspec.json.decode(text, type=dict[str, Any])
            problems = [*_files(archive, manifest)]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        fix = "name a file of `trading-ops audit export`"
        raise ConfigError(str(path), "", f"not an evidence bundle: {error}", fix) from error
    unsigned = {name: value for name, value in manifest.items() if name != "signature"}
    given = str(manifest.get("signature", "")).encode("utf-8", "replace")
    if not any(hmac.compare_digest(given, _mac(unsigned, key).encode()) for key in keys):
        problems.append("the manifest was not signed with this audit key, or was changed")
    return Bundle(manifest=manifest, problems=tuple(problems))


def _files(archive: zipfile.ZipFile, manifest: dict[str, Any]) -> Iterator[str]:
    names = {one for one in archive.namelist() if one != MANIFEST}
    listed = dict(manifest["files"])
    for name in sorted(names ^ set(listed)):
        yield f"{name} is {'not in the manifest' if name in names else 'missing'}"
    for name in sorted(names & set(listed)):
        digest, limit = hashlib.sha256(), int(listed[name]["bytes"])
        size = 0
        with archive.open(name) as file:
            # Unpack no more than the manifest lists: a bundle is untrusted input.
            while size <= limit and (block := file.read(BLOCK)):
                size += len(block)
                digest.update(block)
        if size != limit or digest.hexdigest() != listed[name]["sha256"]:
            yield f"{name} was changed"


def _page(connection: Connection, *, span: Span, after: int) -> list[Event]:
    return search.find_events(connection, span=span, after=after, limit=PAGE)


def _summary(connection: Connection, *, since: datetime, until: datetime) -> dict[str, Any]:
    times = recovery_times(connection, since=since, until=until)
    return {
        "incidents": msgspec.to_builtins(times),
        "backups": [
            msgspec.to_builtins(one)
            for one in backups.read(connection)
            if since <= one.created_at < until
        ],
    }


def _mac(manifest: dict[str, Any], key: bytes) -> str:
    text = msgspec.json.encode(["evidence", manifest], order="deterministic")
    return hmac.digest(key, text, "sha256").hex()
