"""The archive of removed records: signed files that retention writes before it deletes anything.

A file is a signed ZIP and never changes. `events-FIRST-LAST.zip` holds part of the audit chain;
`records-DATE-DIGEST.zip` holds incidents and manual actions with their related rows.
"""

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from trading_ops import __version__, clock, durable
from trading_ops.errors import StoreError
from trading_ops.store import signed_zip
from trading_ops.store.audit_chain import Link

PURPOSE = "archive"
EVENTS = "events.jsonl"
PAGE = 2_000

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows by table."""

_LINK = msgspec.json.Decoder(list[Any])


@dataclass(frozen=True, kw_only=True)
class EventFile:
    """One file of events; `check` compares it with its manifest."""

    path: Path
    first: int
    last: int
    mac: str
    """MAC of the last event; empty: it has none."""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A folder of archive files."""

    folder: Path
    keys: Sequence[bytes]
    """The current audit key, then older ones."""

    def write_events(self, pages: Iterator[Sequence[Link]]) -> EventFile:
        """Store consecutive events.

        Raises:
            OSError: they could not be stored, for example on a full disk.
            StoreError: they could not be read.
        """
        first, last = None, None

        def fill(archive: signed_zip.SignedZip) -> dict[str, Any]:
            nonlocal first, last
            with archive.member(EVENTS) as write:
                for page in pages:
                    first, last = first or page[0], page[-1]
                    write(b"".join(msgspec.json.encode(list(row)) + b"\n" for row in page))
            if first is None or last is None:
                raise StoreError("there are no events to archive")
            return {"first": first.seq, "last": last.seq, "last_mac": last.mac or ""}

        scratch = self._write("events", fill)
        assert first is not None and last is not None  # noqa: S101, PT018 - `fill` has set them
        path = self.folder / f"events-{first.seq:012}-{last.seq:012}.zip"
        durable.put(scratch, path)
        return EventFile(path=path, first=first.seq, last=last.seq, mac=last.mac or "")

    def write_records(self, tables: Rows, *, day: datetime) -> Path:
        """Store rows. The same rows get the same file name, so a retry replaces the file.

        Raises:
            OSError: they could not be stored.
        """
        texts = {
            name: b"".join(msgspec.json.encode(dict(row)) + b"\n" for row in rows)
            for name, rows in tables.items()
            if rows
        }
        digest = hashlib.sha256(b"\0".join(texts.values())).hexdigest()[:12]

        def fill(archive: signed_zip.SignedZip) -> dict[str, Any]:
            for name, text in texts.items():
                with archive.member(f"{name}.jsonl") as write:
                    write(text)
            return {"rows": {name: len(tables[name]) for name in texts}}

        path = self.folder / f"records-{day:%Y%m%d}-{digest}.zip"
        durable.put(self._write("records", fill), path)
        return path

    def event_files(self) -> list[EventFile]:
        """Return the files of events in ascending order, as their signed manifests list them.

        Raises:
            StoreError: a file is damaged, or not signed with the key.
            OSError: the folder cannot be read.
        """
        found = []
        for path in sorted(self.folder.glob("events-*.zip")):
            try:
                manifest = signed_zip.manifest_of(path)
                if not signed_zip.is_signed(manifest, PURPOSE, self.keys):
                    raise StoreError(f"{path} was not signed with this audit key, or was changed")
                found.append(
                    EventFile(
                        path=path,
                        first=int(manifest["first"]),
                        last=int(manifest["last"]),
                        mac=str(manifest["last_mac"]),
                    )
                )
            except signed_zip.UNREADABLE as error:
                raise StoreError(f"{path} is damaged: {error}") from error
        return sorted(found, key=lambda file: (file.first, file.last))

    def covering(self, seq: int) -> EventFile | None:
        """Return the intact file that contains an event, or None.

        Raises:
            StoreError: a file is damaged, or not signed with the key.
        """
        for file in self.event_files():
            if file.first <= seq <= file.last:
                self.check(file.path)
                return file
        return None

    def check(self, path: Path) -> None:
        """Compare a file with its signed manifest.

        Raises:
            StoreError: it is damaged, or not signed with the key.
        """
        try:
            _, problems = signed_zip.check(path, PURPOSE, self.keys)
        except signed_zip.UNREADABLE as error:
            raise StoreError(f"{path} is damaged: {error}") from error
        if problems:
            raise StoreError(f"{path}: {'; '.join(problems)}")

    def _write(self, kind: str, fill: Callable[[signed_zip.SignedZip], dict[str, Any]]) -> Path:
        """Write a complete temporary file, and sync it."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = self.folder / f".{kind}.{os.getpid()}.new"
        with (
            durable.new_file(scratch) as file,
            signed_zip.SignedZip(file, PURPOSE, self.keys[0]) as archive,
        ):
            facts = fill(archive)
            made_at = clock.now().isoformat()
            archive.finish({"made_at": made_at, "release": __version__, **facts})
        return scratch


def links_of(file: EventFile) -> Iterator[list[Link]]:
    """Yield the events of a checked file, in pages.

    Raises:
        StoreError: it is damaged.
    """
    try:
        with zipfile.ZipFile(file.path) as archive, archive.open(EVENTS) as lines:
            page: list[Link] = []
            for line in lines:
                page.append(Link(*_LINK.decode(line)))
                if len(page) == PAGE:
                    yield page
                    page = []
            if page:
                yield page
    except signed_zip.UNREADABLE as error:
        raise StoreError(f"{file.path} is damaged: {error}") from error
