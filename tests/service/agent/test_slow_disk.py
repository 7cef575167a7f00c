"""A disk that does not answer: the agent answers all the same, and a halt is in force at once."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.agent.conftest import Asker, Bot
from tests.waiting import eventually
from trading_ops.agent import Agent, FenceKeeper, Holds, TradingHold, TradingState
from trading_ops.agent.attempts import Attempts
from trading_ops.agent.commands import CommandRequest
from trading_ops.agent.disk import DiskThread
from trading_ops.agent.durable import read_json


class Stall:
    """A FIFO in the place of the scratch file: anyone who opens it to write waits until `end`."""

    def __init__(self, state_file: Path) -> None:
        self._path = state_file.with_name(f".{state_file.name}.new")
        os.mkfifo(self._path)

    def end(self) -> None:
        """Let the writer continue, without success: a FIFO cannot be synced."""
        if self._path.exists():
            reading = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
            self._path.unlink(missing_ok=True)  # the writer, which has failed, removes it too
            os.close(reading)


@contextlib.contextmanager
def stalled(state_file: Path) -> Iterator[Stall]:
    stall = Stall(state_file)
    try:
        yield stall
    finally:
        stall.end()


async def test_a_halt_is_in_force_while_the_disk_stalls(
    ask: Asker, agent: Agent, tmp_path: Path
) -> None:
    """Health and metrics show it; its answer says that it is not on the disk."""
    with stalled(tmp_path / "holds.json"):
        answer = await ask.command("halt", id="x", owner="ada", reason="odd fills")
        assert (answer[0], agent.holds.state) == (200, TradingState.HALTED)
        assert "not stored it yet" in answer[1]["detail"]
        status, health = await ask.get("/health")
        assert (status, health["state"]) == (200, "halted")
        assert [hold["id"] for hold in health["holds"]] == ["x"]
        status, vital = await ask.get("/metrics/vital")
        assert status == 200
        assert 'trading_state{state="halted"} 1' in vital
        assert read_json(tmp_path / "holds.json") == {}
    await ask.command("halt", id="y", owner="ada", reason="odd fills")
    await eventually(lambda: len(Holds(tmp_path / "holds.json").holds) == 2)


async def test_what_must_be_fenced_waits_for_the_disk_and_nothing_else_does(
    ask: Asker, bot: Bot, tmp_path: Path
) -> None:
    """Not started before it is stored; a second request for it is answered: running."""
    with stalled(tmp_path / "fence.json") as stall:
        asked = asyncio.create_task(ask.command("count", attempt_id="a", fence=3))
        await eventually(lambda: ask_attempt(ask, "a", "running"))
        assert (await ask.get("/health"))[0] == 200
        assert (bot.ran, asked.done()) == ([], False)
        stall.end()
        status, answer = await asked
    assert (status, answer["error"], bot.ran) == (503, "state_not_stored", [])
    assert (await ask.command("count", attempt_id="a", fence=3))[1]["outcome"] == "succeeded"
    assert FenceKeeper(tmp_path / "fence.json").highest("alpha") == 3


async def ask_attempt(ask: Asker, attempt_id: str, outcome: str) -> bool:
    status, reply = await ask.get(f"/attempts/{attempt_id}")
    return (status, reply.get("outcome")) == (200, outcome)


async def test_a_command_that_the_disk_takes_too_late_never_begins(
    bot: Bot, tmp_path: Path
) -> None:
    """Its sender gets the answer, then and later, that nothing was done."""
    keeper, disk = FenceKeeper(tmp_path / "fence.json"), DiskThread()
    attempts = Attempts("alpha", keeper, disk, bot.loop, admit_seconds=0.1)
    count, request = bot.commands()["count"], CommandRequest(attempt_id="a", fence=1, params={})
    with stalled(tmp_path / "fence.json"):
        with pytest.raises(OSError, match="nothing was done"):
            await attempts.perform("count", count, request)
        assert (attempts.answer_to("a") or {})["outcome"] == "failed"
    disk.close()
    assert (await attempts.perform("count", count, request))["outcome"] == "failed"
    assert bot.ran == []


def test_a_hold_that_is_placed_while_others_are_released_stands(tmp_path: Path) -> None:
    """The release means what stood before it: not a new hold, and not one that is placed again."""
    holds = Holds(tmp_path / "holds.json")
    first = TradingHold(id="one", state=TradingState.HALTED, owner="ada", reason="odd", at=1.0)
    holds.place(first)
    holds.place(TradingHold(id="two", state=TradingState.HALTED, owner="ada", reason="odd", at=1.0))

    class Meanwhile:
        """Places holds in the middle of a release."""

        def placed(self, hold: TradingHold) -> None: ...

        def released(self, gone: object, *, owner: str, reason: str, at: float) -> None:
            holds.put(first)
            holds.put(
                TradingHold(id="three", state=TradingState.REDUCING, owner="b", reason="c", at=2.0)
            )

    holds.share(Meanwhile())
    assert {hold.id for hold in holds.release(owner="ada", reason="fine", ids=None)} == {
        "one",
        "two",
    }
    assert [hold.id for hold in holds.holds] == ["one", "three"]
    assert holds.state is TradingState.HALTED
    holds.keep(first)
    assert [hold.id for hold in Holds(tmp_path / "holds.json").holds] == ["one", "three"]
