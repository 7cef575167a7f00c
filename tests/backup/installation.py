"""A small installation to back up: configuration, a store with an audit chain, a bot with state."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from trading_ops import clock
from trading_ops.audit.checkpoint import make_anchor, note_key
from trading_ops.backup import create, verify
from trading_ops.backup.manifest import Manifest
from trading_ops.backup.records import Record
from trading_ops.backup.repository import Repository, open_repository
from trading_ops.botkit.nonces.ceiling import CeilingFile
from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings
from trading_ops.store import audit_chain, events, leases, migrate
from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.writer import Writer, transaction

KEY = b"5e" * 32
TARGETS = """\
version: 1
targets:
  - {name: paper, kind: venue, address: 127.0.0.1:8401, faults: 127.0.0.1:8402}
  - name: alpha
    kind: bot
    venue: paper
    address: 127.0.0.1:8411
    service: {manager: supervisor, unit: bot-alpha, restarts: reconciler}
  - {name: exporter, kind: exporter, address: 127.0.0.1:8421}
  - {name: reconciler, kind: reconciler, address: 127.0.0.1:8431}
  - {name: supervisor, kind: supervisor, address: 127.0.0.1:8441}
  - {name: oncall-mailbox, kind: mail, address: 127.0.0.1:8451}
  - {name: prometheus, kind: prometheus, address: 127.0.0.1:9090}
  - {name: alertmanager, kind: alertmanager, address: 127.0.0.1:9093}
"""
BLOCK = 1000
CEILING = 2_000_000_000_000_000
"""Microseconds: ahead of the clock, as after `resync_nonce`."""


class Installation:
    """One project folder."""

    def __init__(self, root: Path, *, repository: str = "", database: str = "") -> None:
        self.root = root
        environ = {"TRADING_OPS_BACKUP_REPOSITORY": repository, "TRADING_OPS_DATABASE": database}
        self.settings: Settings = load_settings(root, environ=environ)
        self.bot = self.settings.var / "bot-alpha"

    @classmethod
    def make(cls, root: Path, *, repository: str = "", database: str = "") -> "Installation":
        """Make the folder with everything that a running stack leaves in it."""
        made = cls(root, repository=repository, database=database)
        (root / "targets.yml").write_text(TARGETS)
        (root / "settings.yml").write_text("log_kept_days: 14\n")
        for folder, name in (("runbooks", "A.md"), ("prometheus", "rules.yml")):
            (root / folder).mkdir()
            (root / folder / name).write_text(f"# {name}\n")
        var = made.settings.var
        for folder in (
            "secrets",
            "tls",
            "reconciler",
            "bot-alpha",
            "nonces/key",
            "audit",
            "log",
            "alertmanager/data",
        ):
            (var / folder).mkdir(parents=True)
        (var / "secrets" / "audit_key").write_bytes(KEY + b"\n")
        (var / "secrets" / "audit_key").chmod(0o600)
        for name in ("ca.crt", "ca.key", "reconciler.crt", "reconciler.key"):
            (var / "tls" / name).write_text(f"{name} of the backup\n")
        (var / "log" / "bot-alpha.log").write_text("not in a backup\n")
        (var / "alertmanager/data/silences").write_bytes(b"silences")
        (var / "bot-alpha" / "lock").touch()
        (made.bot / "holds.json").write_text('{"holds": [], "released": []}')
        (made.bot / "fence.json").write_text(json.dumps({"fences": {"alpha": 7}, "answers": {}}))
        ceiling = CeilingFile(made.ceiling_path, block=BLOCK)
        ceiling.raise_to(CEILING)
        ceiling.close()
        with made.records() as records:
            records.execute("PRAGMA journal_mode=WAL")
            records.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, created_at REAL)")
            records.execute("INSERT INTO orders (created_at) VALUES (1.5)")
        migrate.upgrade(made.settings.database_url)
        asyncio.run(made._begin_chain())
        made.write_events(3)
        return made

    async def _begin_chain(self) -> None:
        writer = Writer(writing_engine(self.settings.database_url), KEY)
        writer.start()
        try:
            await note_key(writer, [KEY])
        finally:
            writer.stop()

    @property
    def ceiling_path(self) -> Path:
        """The file with the highest nonce of the bot's key."""
        return self.settings.var / "nonces" / "key" / "ceiling"

    @property
    def repository(self) -> Repository:
        """Return the repository of the settings."""
        return open_repository(self.settings)

    @contextlib.contextmanager
    def records(self) -> Iterator[sqlite3.Connection]:
        """Open the bot's own database."""
        with contextlib.closing(sqlite3.connect(self.bot / "bot.db")) as connection, connection:
            yield connection

    def write_events(self, count: int) -> None:
        """Add events to the audit chain, raise a fence and anchor the head."""
        engine = writing_engine(self.settings.database_url)
        with transaction(engine, KEY) as connection:
            leases.raise_fence(connection, "alpha")
            for number in range(count):
                events.add(connection, at=clock.now(), kind="noted", note=f"{number}")
        engine.dispose()
        with self.settings.anchors.open("a") as anchors:
            anchors.write(f"{make_anchor(KEY, self.head(), clock.now()).line}\n")

    def head(self) -> audit_chain.Head:
        """Return the newest event of the store."""
        engine = reading_engine(self.settings.database_url)
        try:
            with engine.connect() as connection:
                found = audit_chain.newest(connection)
        finally:
            engine.dispose()
        return found

    def back_up(self) -> Record:
        """Take one backup."""
        return create.create(self.settings, self.repository)

    def manifests(self) -> list[Manifest]:
        """Return all backups, oldest first; none may be damaged."""
        listing = self.repository.listing()
        assert not listing.damaged
        return list(listing.manifests)

    def restore_test(self, manifest: Manifest) -> Record:
        """Prove one backup."""
        return verify.verify(self.settings, self.repository, manifest, restore_test=True)
