"""What the agent keeps survives the process, and damage is never taken for nothing."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from trading_ops.agent import Denial, FenceKeeper, Holds, OrderGate, Side, StaleFence, TradingHold
from trading_ops.agent.commands import Command, CommandFailed, run
from trading_ops.agent.durable import read_json
from trading_ops.agent.incarnation import incarnation
from trading_ops.agent.state import TradingState
from trading_ops.errors import SetupError

KILLED_KEEPER = """
import sys, os, signal
from pathlib import Path
from trading_ops.agent.fence import FenceKeeper
keeper = FenceKeeper(Path(sys.argv[1]))
keeper.admit("alpha", 41)
keeper.record("attempt", {"outcome": "succeeded"})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("seen", "fence", "admitted"), [(None, 0, True), (5, 6, True), (5, 5, True), (5, 4, False)]
)
def test_fence_admits_the_holder_and_newer(
    tmp_path: Path, seen: int | None, fence: int, admitted: bool
) -> None:
    """An equal fence is the same holder, a lower one was replaced."""
    keeper = FenceKeeper(tmp_path / "fence.json")
    if seen is not None:
        keeper.admit("alpha", seen)
    if admitted:
        keeper.admit("alpha", fence)
        assert keeper.highest("alpha") == fence
    else:
        with pytest.raises(StaleFence) as refusal:
            keeper.admit("alpha", fence)
        assert refusal.value.highest == seen
        assert keeper.highest("alpha") == seen


def test_fences_are_kept_by_target(tmp_path: Path) -> None:
    """A high fence of one target does not shut out another."""
    keeper = FenceKeeper(tmp_path / "fence.json")
    assert keeper.raise_to("alpha", 9) == 9
    assert keeper.raise_to("alpha", 3) == 9
    keeper.admit("beta", 1)
    assert (keeper.highest("alpha"), keeper.highest("beta")) == (9, 1)


def test_fence_survives_sigkill(tmp_path: Path) -> None:
    """What was admitted and answered before kill -9 is there for the next process."""
    path = tmp_path / "fence.json"
    killed = subprocess.run([sys.executable, "-c", KILLED_KEEPER, path], check=False, timeout=30)
    assert killed.returncode == -signal.SIGKILL
    keeper = FenceKeeper(path)
    assert keeper.highest("alpha") == 41
    assert keeper.answer("attempt") == {"outcome": "succeeded"}


def test_half_written_file_does_not_count(tmp_path: Path) -> None:
    """A write that was cut short leaves the old content."""
    path = tmp_path / "fence.json"
    FenceKeeper(path).admit("alpha", 3)
    (tmp_path / ".fence.json.new").write_text('{"fences": {"alp')
    assert FenceKeeper(path).highest("alpha") == 3


def test_first_answer_stands_and_old_ones_go(tmp_path: Path) -> None:
    """An answer is never replaced; only the latest are kept, over a restart as well."""
    path = tmp_path / "fence.json"
    keeper = FenceKeeper(path, kept_answers=3)
    for number in range(5):
        keeper.record(f"a{number}", {"n": number})
    keeper.record("a4", {"n": "another"})
    for opened in (keeper, FenceKeeper(path, kept_answers=3)):
        assert [opened.answer(f"a{number}") for number in range(5)] == [
            None,
            None,
            {"n": 2},
            {"n": 3},
            {"n": 4},
        ]


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", '{"fences": 3}', '{"answers": []}'),
        *('{"fences": {"alpha": "7"}}', '{"fences": {"alpha": -1}}', '{"fences": {"alpha": 1e30}}'),
    ],
)
def test_damaged_fence_file_is_refused(tmp_path: Path, content: str) -> None:
    """A damaged file is never taken for an empty one."""
    path = tmp_path / "fence.json"
    path.write_text(content)
    with pytest.raises(SetupError, match="Fix"):
        FenceKeeper(path)


@pytest.mark.parametrize("content", ["", "[]", '{"holds": [{"id": "x"}]}', '{"holds": 3}'])
def test_damaged_holds_halt(tmp_path: Path, content: str) -> None:
    """A file of holds that cannot be read may have said halt, so the bot is halted."""
    path = tmp_path / "holds.json"
    path.write_text(content)
    holds = Holds(path)
    assert holds.state is TradingState.HALTED
    assert len(holds.release(owner="me", reason="the file is gone", ids=None)) == 1
    assert Holds(path).state is TradingState.ACTIVE


def test_resume_is_remembered(tmp_path: Path) -> None:
    """The file tells who released which hold, and why."""
    path = tmp_path / "holds.json"
    holds = Holds(path)
    holds.place(TradingHold(id="h", state=TradingState.HALTED, owner="anna", reason="odd", at=1.0))
    holds.release(owner="bert", reason="fixed", ids=frozenset({"h"}))
    (released,) = read_json(path)["released"]
    assert (released["id"], released["owner"]) == ("h", "anna")
    assert (released["released_by"], released["released_for"]) == ("bert", "fixed")


@pytest.mark.parametrize(
    ("state", "side", "quantity", "position", "committed", "code"),
    [
        ("active", "buy", "9", "0", "0", None),
        ("halted", "sell", "1", "1", "0", "trading_halted"),
        ("halted", "buy", "1", "0", "0", "trading_halted"),
        ("reducing", "sell", "1", "1", "0", None),
        ("reducing", "sell", "2", "1", "0", "trading_reducing"),
        ("reducing", "sell", "1", "1", "0.5", "trading_reducing"),
        ("reducing", "sell", "1", "0", "0", "trading_reducing"),
        ("reducing", "buy", "1", "1", "0", "trading_reducing"),
        ("reducing", "buy", "1", "-1", "0", None),
        ("reducing", "buy", "2", "-1", "0", "trading_reducing"),
    ],
)
def test_gate(
    state: str, side: str, quantity: str, position: str, committed: str, code: str | None
) -> None:
    """Halted denies every order, reducing those that could grow or turn the position."""
    gate = OrderGate(lambda: TradingState(state))
    denial: Denial | None = gate.check(
        side=Side(side),
        quantity=Decimal(quantity),
        position=Decimal(position),
        committed=Decimal(committed),
    )
    assert (denial.code if denial else None) == code


def test_incarnation_names_one_life(tmp_path: Path) -> None:
    """A process has one incarnation as long as it lives, whatever its name looks like."""
    assert incarnation(os.getpid()) == incarnation(os.getpid())
    assert incarnation(os.getpid()) != incarnation(os.getppid())
    folder = tmp_path / "77"
    folder.mkdir()
    (folder / "stat").write_text("77 (odd) name) S " + " ".join(map(str, range(4, 53))))
    assert incarnation(77, tmp_path) == "77:22"
    with pytest.raises(SetupError, match="78"):
        incarnation(78, tmp_path)


async def test_closed_bot_loop_fails_a_command() -> None:
    """A command for a bot whose loop has ended is a failure, not a hang."""

    async def never(_: object) -> str:
        raise AssertionError

    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(CommandFailed, match="closed"):
        await run(Command(run=never), {}, loop)


def test_what_was_begun_is_reported_after_a_death(tmp_path: Path) -> None:
    """Until it is answered; what was refused or could not be stored was not started."""
    path = tmp_path / "fence.json"
    keeper = FenceKeeper(path, kept_answers=2)
    keeper.admit("alpha", 3, attempt_id="a", mark={"command": "count"})
    with pytest.raises(StaleFence):
        keeper.admit("alpha", 2, attempt_id="stale")
    (tmp_path / ".fence.json.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        keeper.admit("alpha", 4, attempt_id="unstored")
    (tmp_path / ".fence.json.new").rmdir()
    after = FenceKeeper(path, kept_answers=2)
    assert after.begun("a") == {"command": "count"}
    assert (after.begun("stale"), after.begun("unstored"), after.highest("alpha")) == (
        None,
        None,
        3,
    )
    after.record("a", {"outcome": "succeeded"})
    assert (after.begun("a"), FenceKeeper(path).begun("a")) == (None, None)
    for name in ("b", "c", "d"):
        after.admit("alpha", 3, attempt_id=name)
    assert [after.begun(name) is not None for name in "bcd"] == [False, True, True]


@pytest.mark.parametrize(
    "data",
    [
        {"holds": [{"id": 7, "state": "halted", "owner": "a", "reason": "b", "at": 1.0}]},
        {"holds": [{"id": "h", "state": "halted", "owner": "a", "reason": "b", "at": "soon"}]},
        {"released": ["h"]},
        {"released": [{"id": "h", "owner": "a", "reason": "b", "at": 1.0, "released_at": None}]},
    ],
)
def test_holds_that_could_not_be_reported_halt(tmp_path: Path, data: dict[str, object]) -> None:
    """A file with values of other types is as unreadable as one that is not JSON."""
    path = tmp_path / "holds.json"
    path.write_text(json.dumps(data))
    holds = Holds(path)
    assert (holds.state, holds.holds[0].id) == (TradingState.HALTED, "unreadable-file")


async def test_the_latest_releases_are_reported(tmp_path: Path) -> None:
    """Twenty of them, so that the reconciler can adopt a release that was made here."""
    holds = Holds(tmp_path / "holds.json")
    for number in range(25):
        holds.place(
            TradingHold(id=f"h{number}", state=TradingState.HALTED, owner="a", reason="b", at=1.0)
        )
        holds.release(owner="ada", reason="fine", ids=None)
    released = Holds(tmp_path / "holds.json").released
    assert [hold["id"] for hold in released] == [f"h{number}" for number in range(5, 25)]
    assert set(released[0]) == {"id", "at", "released_at", "released_by", "released_for"}
