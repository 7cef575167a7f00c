"""No disk but the stack's own is ever filled, and what filled it is taken away again."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.rules.configuration import RUNBOOKS, load_rules
from trading_ops.domain.target import Target
from trading_ops.errors import NotPossibleHere, StackError
from trading_ops.logs.rotation import files_aside
from trading_ops.reconciler.runbook_index import load_runbooks
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults import full_disk
from trading_ops_lab.faults.full_disk import BELOW, FILL, LOGS, LOW, FullDisk, Room, bytes_to_fill

MIB = 1024 * 1024
VAR = Path("/somewhere/var")
PLENTY = 64 * 1024 * MIB
SMALL_LOG = 1024

BOT = cast(Target, SimpleNamespace(name="alpha", service=SimpleNamespace(unit="bot-alpha")))


def room(free: int = 1000, size: int = 1024, *, own: bool = True) -> Room:
    return Room(own=own, size=size * MIB, free=free * MIB)


@pytest.mark.parametrize(
    ("given", "memory", "why"),
    [
        (room(own=False), PLENTY, "/somewhere/var is on a shared disk"),
        (room(size=1023), PLENTY, "1023 MiB"),
        (room(size=4097), PLENTY, "4097 MiB, and one of more than 4096 MiB may be a shared disk"),
        (room(free=578), PLENTY, "only 578 MiB are free on /somewhere/var already"),
        (room(), 1400 * MIB, "only 1400 MiB of memory are free on this machine"),
    ],
)
def test_what_is_refused_and_why(given: Room, memory: int, why: str) -> None:
    """In a sentence, before anything is written."""
    with pytest.raises(NotPossibleHere, match=why):
        bytes_to_fill(VAR, given, memory)


def test_what_is_left_is_below_the_line_and_old_logs_are_enough_to_be_above_it() -> None:
    """However large it is, within the bounds."""
    for given in (room(free=579), room(), room(free=4000, size=4096)):
        left = given.free - bytes_to_fill(VAR, given, PLENTY) - LOGS * full_disk.LOG
        assert left == LOW - BELOW
        assert left + (LOGS - 2) * full_disk.LOG > LOW


class World:
    """A stack in a folder, with a file system that counts as its own."""

    def __init__(self, var: Path) -> None:
        """Make the folder of logs, with one that is written and one that was moved aside."""
        self.settings = SimpleNamespace(var=var, logs=var / "log")
        (var / "log").mkdir()
        (var / "log" / "bot-alpha.log").write_text("now")
        (var / "log" / "bot-alpha.log.20260101T000000.000000.gz").write_text("then")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Small logs, and four KiB to fill."""
    monkeypatch.setattr(full_disk, "LOG", SMALL_LOG)
    free = LOW - BELOW + LOGS * SMALL_LOG + 4096
    monkeypatch.setattr(full_disk, "room_of", lambda _: Room(own=True, size=1024 * MIB, free=free))
    return World(tmp_path)


def scene_of(world: World) -> Scene:
    return cast(Scene, world)


async def test_what_is_written_is_what_the_bot_may_remove_and_what_it_may_not(
    world: World,
) -> None:
    """The drill's logs are the oldest; all of it is gone afterwards, and nothing else."""
    before = sorted(world.settings.var.rglob("*"))
    fault = FullDisk()
    key = await fault.inject(scene_of(world), BOT)
    aside = files_aside(world.settings.logs)
    assert len(aside) == LOGS + 1
    assert aside[-1].read_text() == "then"
    assert (world.settings.var / FILL).stat().st_size == 4096
    aside[0].unlink()  # as the fix does
    await fault.clean_up(scene_of(world), BOT, key)
    assert sorted(world.settings.var.rglob("*")) == before


@pytest.mark.parametrize(
    ("free", "removed", "filled", "seen"),
    [
        (LOW, 3, True, "512 MiB free: 3 old log files are gone"),
        (LOW - 1, 3, True, None),
        (LOW, 0, True, None),
        (LOW, 3, False, None),
    ],
)
async def test_the_file_system_says_whether_room_was_made_and_of_what(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    removed: int,
    filled: bool,
    seen: str | None,
) -> None:
    """Room that someone else's file has made is no fix."""
    fault = FullDisk()
    await fault.inject(scene_of(world), BOT)
    for path in files_aside(world.settings.logs)[:removed]:
        path.unlink()
    if not filled:
        (world.settings.var / FILL).unlink()
    monkeypatch.setattr(full_disk, "room_of", lambda _: Room(own=True, size=1024 * MIB, free=free))
    evidence = await fault.evidence(scene_of(world), BOT, 0.0)
    assert (evidence is None) == (seen is None)
    assert (seen or "") in (evidence or "")


async def test_a_bot_without_a_log_there_is_no_bot_for_it(world: World) -> None:
    """Nothing of it could be removed, so nothing is written."""
    (world.settings.logs / "bot-alpha.log").unlink()
    with pytest.raises(StackError, match="alpha has no log file in"):
        await FullDisk().inject(scene_of(world), BOT)
    assert not (world.settings.var / FILL).exists()


def test_the_line_is_the_one_of_the_rule() -> None:
    """And of the runbook, whose query says when room was made."""
    [rule] = [rule for rule in load_rules() if rule.name == "TradingBotDiskLow"]
    assert f"< {LOW}" in rule.expr
    book = load_runbooks(RUNBOOKS)["TradingBotDiskLow"]
    assert book.verify is not None
    assert f">= {LOW}" in book.verify.query


def test_a_folder_among_others_is_no_ones_own_disk(tmp_path: Path) -> None:
    """As it is for everyone who just starts the stack."""
    assert not full_disk.room_of(tmp_path).own
