"""The record of a live stack, changed with write access to the database file."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.stack import Stack
from tests.waiting import eventually
from trading_ops_lab.drills.lab_clients import Scene

pytestmark = pytest.mark.attacks


@pytest.fixture
async def copied(stack: Stack, scene: Scene, tmp_path: Path) -> Path:
    """A copy of the database, with events and at least one anchor."""
    placed = await scene.reconciler.hold("alpha", "reduce", owner="test", reason="for the record")
    await scene.reconciler.release("alpha", holds=[placed.id], owner="test", reason="over")
    # An anchor is made each minute.
    await eventually(lambda: verified(stack)["last_anchor"], within=60)
    copy = tmp_path / "copy.db"
    source = sqlite3.connect(stack.settings.database_url.removeprefix("sqlite:///"))
    with source, sqlite3.connect(copy) as target:
        source.backup(target)
    return copy


def verified(stack: Stack, *arguments: str) -> dict[str, object]:
    """Return the verdict on the record."""
    done = stack.run("audit", "verify", *arguments, "--output", "json")
    return dict(json.loads(done.stdout), code=done.returncode)


def edit(database: Path, *statements: str) -> None:
    """Change a database past its triggers, as its owner can."""
    with sqlite3.connect(database) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in names.fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)


def test_the_record_as_it_is_is_whole(stack: Stack, copied: Path) -> None:
    """By its own anchors, and by those that its log carries off."""
    assert verified(stack, "--database", str(copied))["code"] == 0
    log = str(stack.settings.logs / "reconciler.log")
    assert verified(stack, "--database", str(copied), "--anchors", log)["code"] == 0


CUT = "DELETE FROM events WHERE seq > (SELECT max(seq) - 2 FROM events)"


@pytest.mark.parametrize(
    "statements",
    [
        ("UPDATE events SET note = 'nothing happened' WHERE seq = 2",),
        ("DELETE FROM events WHERE seq = 2",),
        (CUT,),
        ("UPDATE events SET mac = NULL", "UPDATE chain SET mac = ''"),
        ("DELETE FROM events", "DELETE FROM chain", "DELETE FROM audit_checkpoints"),
    ],
    ids=["edited", "removed", "cut_off", "macs_removed", "emptied"],
)
def test_a_changed_record_is_found(stack: Stack, copied: Path, statements: tuple[str, ...]) -> None:
    """`audit verify` ends with a code from which a job pages."""
    edit(copied, *statements)
    assert verified(stack, "--database", str(copied))["code"] != 0


def test_anchors_that_are_gone_are_missed(stack: Stack, copied: Path, tmp_path: Path) -> None:
    """An emptied file proves nothing, and this is reported."""
    empty = tmp_path / "anchors"
    empty.touch()
    found = verified(stack, "--database", str(copied), "--anchors", str(empty))
    assert found["code"] != 0


def test_a_tail_cut_with_its_anchors_is_found_by_the_log(stack: Stack, copied: Path) -> None:
    """The log was exported before, so truncating the rest is detected."""
    edit(copied, CUT)
    log = str(stack.settings.logs / "reconciler.log")
    assert verified(stack, "--database", str(copied), "--anchors", log)["code"] != 0
