"""Signed evidence bundles: all decisions, actions and requests of a period.

A ZIP archive with `events.jsonl` (each event with its MAC), `summary.json` (who did what,
incidents, response times, backups) and `manifest.json`: the period, the head of the audit chain,
the SHA-256 and size of each file, and an HMAC of all that with the audit key.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from trading_ops import __version__, clock
from trading_ops.errors import ConfigError
from trading_ops.reports.recovery_times import recovery_times
from trading_ops.store import Connection, audit_chain, backups, search, signed_zip
from trading_ops.store.events import TimelineEvent
from trading_ops.store.reader import Reader
from trading_ops.store.search import TimeRange

PAGE = 2_000
EVENTS, SUMMARY = "events.jsonl", "summary.json"
PURPOSE = "evidence"


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle's manifest, and the problems found."""

    manifest: dict[str, Any]
    problems: tuple[str, ...] = ()


async def export(
    reader: Reader, path: Path, *, since: datetime, until: datetime, key: bytes
) -> Bundle:
    """Write the bundle of a period to a new file.

    Raises:
        StoreError: the database did not answer.
        FileExistsError: the file exists.
        OSError: it cannot be written.
    """
    span = TimeRange(since=since, until=until)
    count, kinds, actors = 0, Counter[str](), Counter[str]()
    with path.open("xb") as file, signed_zip.SignedZip(file, PURPOSE, key) as archive:
        with archive.member(EVENTS) as write:
            after = 0
            while page := await reader.read(partial(_page, span=span, after=after)):
                for event in page:
                    kinds[event.kind] += 1
                    actors[event.actor] += 1
                write(b"".join(msgspec.json.encode(event) + b"\n" for event in page))
                count, after = count + len(page), page[-1].seq
        summary = await reader.read(partial(_summary, since=since, until=until))
        summary |= {"events_by_kind": dict(kinds), "events_by_actor": dict(actors)}
        with archive.member(SUMMARY) as write:
            write(msgspec.json.format(msgspec.json.encode(summary), indent=2))
        head = await reader.read(audit_chain.newest)
        facts = {
            "since": since.isoformat(),
            "until": until.isoformat(),
            "made_at": clock.now().isoformat(),
            "release": __version__,
            "events": count,
            "audit_head": {"seq": head.seq, "mac": head.mac},
        }
        return Bundle(manifest=archive.finish(facts))


def check(path: Path, keys: Sequence[bytes]) -> Bundle:
    """Compare a bundle with its manifest, and the manifest with the audit key.

    Raises:
        ConfigError: it is not a bundle.
    """
    try:
        manifest, problems = signed_zip.check(path, PURPOSE, keys)
    except signed_zip.UNREADABLE as error:
        fix = "name a file of `trading-ops audit export`"
        raise ConfigError(str(path), "", f"not an evidence bundle: {error}", fix) from error
    return Bundle(manifest=manifest, problems=tuple(problems))


def _page(connection: Connection, *, span: TimeRange, after: int) -> list[TimelineEvent]:
    return search.find_events(connection, span=span, after=after, limit=PAGE)


def _summary(connection: Connection, *, since: datetime, until: datetime) -> dict[str, Any]:
    times = recovery_times(connection, since=since, until=until)
    return {
        "incidents": msgspec.to_builtins(times),
        "backups": [
            msgspec.to_builtins(backup)
            for backup in backups.read(connection)
            if since <= backup.created_at < until
        ],
    }
