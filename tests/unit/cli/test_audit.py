"""`trading-ops audit verify` on a real database, and on one that someone changed."""

import asyncio
import json
import logging
import sqlite3
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from tests.builders import NOW, ago
from tests.databases import place_database
from trading_ops import logs
from trading_ops.audit.checkpoint import Anchors, append, make_anchor
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.main import run
from trading_ops.config.loading import load_settings
from trading_ops.config.log_policy import LogPolicy
from trading_ops.config.settings import Settings
from trading_ops.store import audit_chain, events
from trading_ops.store.engine import sqlite_path, writing_engine
from trading_ops.store.reader import open_reader
from trading_ops.store.writer import transaction

KEY = "5e" * 32
EVENTS = 30
ANCHORED = (10, 25)


def write(settings: Settings, count: int, key: str = KEY) -> audit_chain.Head:
    """Write so many events, each in a transaction of its own."""
    engine = writing_engine(settings.database_url)
    for number in range(count):
        with transaction(engine, key.encode()) as connection:
            events.add(
                connection, at=ago(number), kind="opened", incident_id="i", note=f"number {number}"
            )
    with engine.connect() as connection:
        head = audit_chain.newest(connection)
    engine.dispose()
    return head


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, migrated_sqlite: Path) -> Settings:
    """A project folder with thirty events, of which some are anchored."""
    monkeypatch.setenv("TRADING_OPS_ROOT", str(tmp_path))
    settings = load_settings()
    settings.secrets.mkdir(parents=True)
    (settings.secrets / "audit_key").write_text(KEY)
    place_database(migrated_sqlite, settings.database_url)
    done = 0
    for seq in ANCHORED:
        head = write(settings, seq - done)
        append(settings.anchors, make_anchor(KEY.encode(), head, NOW))
        done = seq
    write(settings, EVENTS - done)
    return settings


def attack(settings: Settings, *statements: str) -> None:
    """Change the file as its owner can: without us, and first of all without triggers."""
    database = sqlite_path(settings.database_url)
    assert database is not None
    connection = sqlite3.connect(database)
    names = [
        row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'")
    ]
    assert names, "there were triggers to drop"
    for name in names:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_complete_log_is_verified(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """It says how much was verified, and what a cut would take unseen."""
    database = sqlite_path(settings.database_url)
    assert database is not None
    before = database.read_bytes()
    assert run(["audit", "verify"]) == ExitCode.OK
    output = capsys.readouterr().out
    assert "verified 30 events, 1 to 30" in output
    assert "last anchor: event 25 at 2026-03-01T12:00:00.000000Z (2 anchors)" in output
    assert "unanchored tail: 5 events" in output
    assert run(["audit", "verify", "--output", "json"]) == ExitCode.OK
    report = json.loads(capsys.readouterr().out)
    assert (report["whole"], report["verified"], report["unanchored"]) == (True, 30, 5)
    assert database.read_bytes() == before, "evidence is not touched"


COPY = (
    "INSERT INTO events SELECT 9, at, 'closed', incident_id, attempt_id, actor, reason, note,"
    " before, after, mac FROM events WHERE seq = 3"
)
HEAD = "UPDATE chain SET seq = {0}, mac = (SELECT mac FROM events WHERE seq = {0})"


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["UPDATE events SET note = 'nothing' WHERE seq = 9"], "event 9 (opened) was edited"),
        (["UPDATE events SET at = at + 1 WHERE seq = 30"], "event 30 (opened) was edited"),
        (["DELETE FROM events WHERE seq = 9"], "event 9 is missing"),
        (["DELETE FROM events WHERE seq > 20"], "events 21 to 30 are missing at the end"),
        (
            ["DELETE FROM events WHERE seq > 20", HEAD.format(20)],
            "events from 21 on are missing at the end: event 25 was anchored at 2026-03-01",
        ),
        (
            [
                "UPDATE events SET seq = -1 WHERE seq = 4",
                "UPDATE events SET seq = 4 WHERE seq = 5",
                "UPDATE events SET seq = 5 WHERE seq = -1",
            ],
            "the event that belongs at 4 is at 5",
        ),
        (
            [
                "UPDATE events SET seq = -seq - 1 WHERE seq > 8",
                "UPDATE events SET seq = -seq WHERE seq < 0",
                COPY,
                HEAD.format(31),
            ],
            "event 9 was inserted",
        ),
        (["DELETE FROM events", "UPDATE chain SET seq = 0, mac = ''"], "events from 1 on are miss"),
        (["UPDATE chain SET seq = 29"], "the chain's head is event 29"),
        (["DELETE FROM chain"], "the chain's head is event 0"),
        (
            ["UPDATE events SET note = CAST(x'ff' AS TEXT) WHERE seq = 9"],
            "event 9, or the next one",
        ),
        (["UPDATE events SET note = x'ff' WHERE seq = 9"], "event 9 (opened) was edited"),
        (["UPDATE events SET at = 1.5 WHERE seq = 9"], "event 9 (opened) was edited"),
        (["UPDATE events SET mac = 7 WHERE seq = 9"], "the MAC of event 9 (opened) was edited"),
        (["UPDATE events SET seq = -4 WHERE seq = 9"], "event -4 was inserted: numbers start at 1"),
        (["INSERT INTO events (seq, at, kind) VALUES (-4, 0, 'paused')"], "event -4 was inserted"),
        (["INSERT INTO events (seq, at, kind) VALUES (31, 0, 'paused')"], "event 31 (paused) was"),
        (["DROP TABLE events"], "event 1, or the next one, cannot be read"),
        (["DROP TABLE events", "DROP TABLE chain"], "the database could not be read"),
    ],
)
def test_what_was_changed_is_reported(
    settings: Settings, capsys: pytest.CaptureFixture[str], statements: list[str], message: str
) -> None:
    """Every way of changing the file with SQL shows, and the first bad event is named."""
    attack(settings, *statements)
    assert run(["audit", "verify"]) == ExitCode.FAILED
    assert message in capsys.readouterr().err


def test_a_cut_that_grew_again_is_reported(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reconciler continued behind the cut with the right key; the old anchors still show it."""
    attack(settings, "DELETE FROM events WHERE seq > 20", HEAD.format(20))
    write(settings, 20)
    assert run(["audit", "verify"]) == ExitCode.FAILED
    assert "event 25 is not the one that was anchored" in capsys.readouterr().err


def shift(line: str) -> str:
    at, _, mac, signature = line.split()
    return f"{at} 24 {mac} {signature}"


@pytest.mark.parametrize("forge", [shift, lambda _: "hello", lambda line: line + "0"])
def test_a_forged_anchor_is_reported(
    settings: Settings, capsys: pytest.CaptureFixture[str], forge: Callable[[str], str]
) -> None:
    """An anchor that was moved, or never was one, is named with its line."""
    lines = settings.anchors.read_text().splitlines()
    lines[1] = forge(lines[1])
    settings.anchors.write_text("\n".join(lines) + "\n")
    assert run(["audit", "verify"]) == ExitCode.FAILED
    assert f"line 2 of {settings.anchors} is not signed" in capsys.readouterr().err


def test_half_an_anchor_is_no_forgery(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """A power cut leaves half a line; the next anchor starts a line of its own."""
    head = audit_chain.Head(30, "ab" * 32)
    text = settings.anchors.read_text()
    settings.anchors.write_text(text[: len(text) - 40])
    append(settings.anchors, make_anchor(KEY.encode(), head, NOW))
    assert len(settings.anchors.read_text().splitlines()) == 3
    assert run(["audit", "verify"]) == ExitCode.FAILED, "that anchor is of no stored event"
    output = capsys.readouterr()
    assert "1 incomplete anchor lines" in output.out
    assert "event 30 is not the one that was anchored" in output.err


@pytest.fixture
def reconciler_log(tmp_path: Path) -> Iterator[Path]:
    """The file to which this process now logs, as the reconciler does."""
    root = logging.getLogger()
    before, hooks = root.handlers[:], (sys.excepthook, threading.excepthook)
    logs.configure("reconciler", policy=LogPolicy(folder=tmp_path / "log"))
    yield tmp_path / "log" / "reconciler.log"
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = before
    sys.excepthook, threading.excepthook = hooks
    structlog.reset_defaults()


def anchor_into_log(settings: Settings) -> None:
    """Anchor the newest event as the running reconciler does, and wait for the log."""

    async def anchor() -> None:
        with open_reader(settings.database_url) as reader:
            anchors = Anchors(path=settings.root / "other", key=KEY.encode(), reader=reader)
            assert await anchors.anchor_now() is not None

    asyncio.run(anchor())
    logs.flush(30)


def test_a_copy_is_verified_with_shipped_logs(
    settings: Settings, tmp_path: Path, reconciler_log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log as it is written, redaction included, proves a copy of the database."""
    logging.getLogger("other").warning("decided")
    write(settings, 1)
    anchor_into_log(settings)
    shipped = tmp_path / "shipped.log"
    other = [{"event": "audit_anchored"}, {"event": "audit_anchored", "anchor": 1}, ["no object"]]
    shipped.write_text(
        reconciler_log.read_text() + "\n".join(json.dumps(line) for line in other[:2])
    )
    database, key = tmp_path / "copy.db", tmp_path / "key"
    found = sqlite_path(settings.database_url)
    assert found is not None
    database.write_bytes(found.read_bytes())
    key.write_text(KEY)
    for name in (f"sqlite:///{database}", str(database)):
        options = ["--database", name, "--key-file", str(key), "--anchors", str(shipped)]
        assert run(["audit", "verify", *options]) == ExitCode.OK
        assert "last anchor: event 31" in capsys.readouterr().out


def test_the_shipped_log_shows_a_cut_that_took_the_anchors_along(
    settings: Settings, reconciler_log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who removes the end and the anchors of it cannot reach the log that was shipped."""
    anchor_into_log(settings)
    attack(settings, "DELETE FROM events WHERE seq > 20", HEAD.format(20))
    first = settings.anchors.read_text().splitlines()[0]
    settings.anchors.write_text(first + "\n")
    assert run(["audit", "verify", "--anchors", str(reconciler_log)]) == ExitCode.FAILED
    assert "event 30 was anchored at" in capsys.readouterr().err


def test_a_file_without_anchors_proves_nothing(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each file that is named must have an anchor: a redacted or empty log has none."""
    log = tmp_path / "reconciler.log"
    log.write_text(json.dumps({"event": "audit_anchored", "signature": "[redacted]"}) + "\n")
    options = ["--anchors", str(settings.anchors), "--anchors", str(log)]
    assert run(["audit", "verify", *options]) == ExitCode.FAILED
    assert f"{log} has no anchor" in capsys.readouterr().err
    settings.anchors.unlink()
    assert run(["audit", "verify", "--output", "json"]) == ExitCode.FAILED
    (gap,) = json.loads(capsys.readouterr().out)["unproven"]
    assert f"{settings.anchors} has no anchor" in gap


def test_events_without_a_mac_fail_unless_their_number_is_given(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the key, all MACs can be removed; only an operator knows how many never had one."""
    without = ["UPDATE events SET mac = NULL", "UPDATE chain SET mac = ''"]
    attack(settings, *without, "DELETE FROM audit_checkpoints")
    settings.anchors.unlink()
    write(settings, 2)
    head = write(settings, 1)
    append(settings.anchors, make_anchor(KEY.encode(), head, NOW))
    assert run(["audit", "verify"]) == ExitCode.FAILED
    assert "30 events have no MAC, expected 0" in capsys.readouterr().err
    assert run(["audit", "verify", "--before-chain", "29"]) == ExitCode.FAILED
    assert run(["audit", "verify", "--before-chain", "30"]) == ExitCode.OK


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["UPDATE chain SET signature = ''"], "event 30, is not signed"),
        (["DELETE FROM events WHERE seq > 27", HEAD.format(27)], "event 27, is not signed"),
        (["DELETE FROM audit_checkpoints"], "no signed checkpoint states where the chain starts"),
        (["UPDATE audit_checkpoints SET seq = 3"], "the checkpoint `begun` at event 3 is not"),
        (
            ["UPDATE events SET mac = NULL", "UPDATE chain SET mac = '', signature = ''"],
            "event 10 is not the one that was anchored",
        ),
        (
            [
                "DELETE FROM events WHERE seq <= 12",
                "INSERT INTO audit_checkpoints VALUES ('removed', 12, '', 0, 'x')",
            ],
            "events 1 to 12 are missing",
        ),
    ],
)
def test_the_head_and_the_beginning_are_signed(
    settings: Settings, capsys: pytest.CaptureFixture[str], statements: list[str], message: str
) -> None:
    """What a walk over the rows cannot show: their end, and what was before the first one."""
    attack(settings, *statements)
    assert run(["audit", "verify"]) == ExitCode.FAILED
    assert message in capsys.readouterr().err


def test_macs_that_were_removed_before_more_was_written_are_found(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second beginning shows, even without anchors and with the number allowed."""
    attack(settings, "UPDATE events SET mac = NULL", "UPDATE chain SET mac = ''")
    settings.anchors.unlink()
    head = write(settings, 3)
    append(settings.anchors, make_anchor(KEY.encode(), head, NOW))
    assert run(["audit", "verify", "--before-chain", "30"]) == ExitCode.FAILED
    assert "the chain begins at event 31" in capsys.readouterr().err


def test_what_a_crash_left_is_verified(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last events are only in SQLite's journal, as after SIGKILL."""
    database = sqlite_path(settings.database_url)
    assert database is not None
    folder = tmp_path / "copy"
    folder.mkdir()
    engine = writing_engine(settings.database_url)
    with transaction(engine, KEY.encode()) as connection:
        events.add(connection, at=NOW, kind="opened")
    for name in (database.name, f"{database.name}-wal"):
        (folder / name).write_bytes((database.parent / name).read_bytes())
    engine.dispose()
    assert (folder / f"{database.name}-wal").stat().st_size > 0
    assert run(["audit", "verify", "--database", f"sqlite:///{folder / database.name}"]) == 0
    assert "verified 31 events" in capsys.readouterr().out


def test_the_key_is_changed_with_an_event(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """The new line goes above the old one; what was written with either is verified."""
    newer = "a7" * 32
    keys = [newer.encode(), KEY.encode()]
    (settings.secrets / "audit_key").write_text(f"{newer}\n{KEY}\n")
    engine = writing_engine(settings.database_url)
    for expected in (True, False):  # only the first start with it has something to tell
        with transaction(engine, keys[0]) as connection:
            assert bool(audit_chain.note_key(connection, keys, at=NOW)) is expected
    engine.dispose()
    write(settings, 2, newer)
    assert run(["audit", "verify"]) == ExitCode.OK
    output = capsys.readouterr().out
    assert "verified 33 events" in output
    assert (
        f"{audit_chain.name_of(keys[1])} from event 1, {audit_chain.name_of(keys[0])} from event 31"
        in output
    )
    (settings.secrets / "audit_key").write_text(newer)
    assert run(["audit", "verify"]) == ExitCode.FAILED
    assert "fits no key" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--database", "sqlite:////nowhere/x.db"], "database /nowhere/x.db does not exist"),
        (["--database", "nonsense"], "does not exist"),
        (["--database", "postgresql://h:port/x"], "invalid database URL"),
        (["--database", "oracle://x"], "unsupported database"),
        (["--key-file", "/dev/null"], "/dev/null: it is empty"),
    ],
)
def test_mistakes_are_sentences(
    settings: Settings, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    """No traceback, and no database is made by looking for it."""
    del settings
    assert run(["audit", "verify", *options]) in {ExitCode.FAILED, ExitCode.SETUP, ExitCode.USAGE}
    assert message in capsys.readouterr().err


def test_an_evidence_bundle_is_whole_and_signed(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every event of the period is in it; one changed byte of any file is found."""
    file = tmp_path / "evidence.zip"
    assert run(["audit", "export", str(file), "--since", "3650d"]) == ExitCode.OK
    assert run(["audit", "export", str(file), "--check"]) == ExitCode.OK
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    events = [json.loads(line) for line in parts["events.jsonl"].splitlines()]
    assert [event["note"] for event in events if event["kind"] == "opened"] == [
        f"number {number}" for count in (10, 15, 5) for number in range(count)
    ]
    assert all(event["mac"] for event in events)
    assert json.loads(parts["manifest.json"])["events"] == len(events)
    for name in parts:
        changed = tmp_path / f"changed-{name}.zip"
        with zipfile.ZipFile(changed, "w") as archive:
            for other, text in parts.items():
                archive.writestr(other, text.replace(b"2", b"3", 1) if other == name else text)
        assert run(["audit", "export", str(changed), "--check"]) == ExitCode.FAILED, name
    assert settings.anchors.exists()
    capsys.readouterr()


def test_an_export_overwrites_nothing(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is there stays; a file that is no bundle is named."""
    assert settings.anchors.exists()
    file = tmp_path / "there"
    file.write_text("mine")
    assert run(["audit", "export", str(file)]) == ExitCode.SETUP
    assert run(["audit", "export", str(file), "--check"]) == ExitCode.SETUP
    assert file.read_text() == "mine"
    assert "not an evidence bundle" in capsys.readouterr().err
