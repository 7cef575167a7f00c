"""Paper outlives whatever ends the command or the process; only an operator's word ends it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest

from tests.service.bot.order_harness import Desk
from tests.waiting import eventually
from trading_ops.agent import CommandFailed
from trading_ops.agent.commands import run
from trading_ops.botkit.records.driver import ThreadedDatabase
from trading_ops.botkit.records.sql import Session
from trading_ops.botkit.records.sqlite import SqliteDriver
from trading_ops.botkit.records.store import Store
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot import mode as module
from trading_ops_lab.paper.bot.commands import Parts, mode_commands
from trading_ops_lab.paper.bot.mode import FACT, FILE, Mode, ModeRecord, ModeSwitch

pytestmark = pytest.mark.processes

ORDER = ("ada", "something smells")
Result = TypeVar("Result")


class Stuck(SqliteDriver):
    """Records that take nothing while the gate is shut."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gate = threading.Event()
        self.gate.set()

    def transact(self, work: Callable[[Session], Result]) -> Result:
        self.gate.wait()
        return super().transact(work)


class Away(Store):
    """Records that are someone else's until this instance leads."""

    leads = False

    async def set_fact(self, name: str, value: object) -> None:
        if not self.leads:
            raise StoreError("this instance is a standby: it does not use the records")
        await super().set_fact(name, value)


class ModeHistory:
    """One bot's state folder and records, and the switches of its lives."""

    def __init__(self, desk: Desk, driver: Stuck, folder: Path) -> None:
        self.desk = desk
        self.driver = driver
        self.folder = folder

    def switch(self, *, store: Store | None = None, folder: Path | None = None) -> ModeSwitch:
        return ModeSwitch(
            "alpha",
            Mode.LIVE,
            self.desk.metrics,
            store or self.desk.store,
            self.desk.book,
            state_dir=folder or self.folder,
        )

    async def begun(self, **given: Any) -> ModeSwitch:
        switch = self.switch(**given)
        await switch.restore()
        return switch

    async def stored(self) -> Mode | None:
        record = await self.desk.store.fact(FACT, ModeRecord)
        return None if record is None else record.mode


class Cancelling:
    """Orders whose cancelling takes as long as the test says."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.done = asyncio.Event()

    async def cancel_all(self, *, stops: bool) -> int:
        assert not stops
        self.asked.set()
        await self.done.wait()
        return 2


@pytest.fixture
async def runs(
    metrics: BotMetrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ModeHistory]:
    monkeypatch.setattr(module, "STORE_SECONDS", 60)
    driver = Stuck(tmp_path / "bot.db")
    desk = Desk(metrics, tmp_path / "bot.db")
    await desk.store.close()
    desk.store = Store(metrics, lambda: ThreadedDatabase(driver))
    desk.book = type(desk.book)("alpha", metrics, desk.store)
    desk.supervisor = type(desk.supervisor)([desk.store])
    await desk.start()
    yield ModeHistory(desk, driver, tmp_path)
    driver.gate.set()
    await desk.supervisor.stop()


async def go_paper(switch: ModeSwitch, orders: Cancelling, within: float) -> str:
    """Carry the command out as the agent does."""
    parts = SimpleNamespace(mode=switch, orders=orders, book=SimpleNamespace(positions={}))
    command = replace(mode_commands(cast(Parts, parts))["go_paper"], deadline_seconds=within)
    params = dict(zip(("owner", "reason"), ORDER, strict=True))
    return await run(command, params, asyncio.get_running_loop())


async def test_a_deadline_ends_the_cancelling_and_not_the_halt(runs: ModeHistory) -> None:
    """A venue that is slow takes the whole deadline: the word is kept by then."""
    switch, orders = await runs.begun(), Cancelling()
    assert switch.mode.value == "live"
    command = asyncio.create_task(go_paper(switch, orders, within=60))
    await orders.asked.wait()
    command.cancel()
    await asyncio.wait({command})
    assert switch.paper
    assert await runs.stored() is Mode.PAPER
    assert (await runs.begun()).paper


async def test_it_is_on_the_disk_before_anything_is_waited_for(runs: ModeHistory) -> None:
    """Killed while the records have not taken it yet, the next life finds the file."""
    switch = await runs.begun()
    runs.driver.gate.clear()
    task = asyncio.create_task(switch.go_paper(*ORDER))
    await asyncio.sleep(0)
    assert not task.done()
    assert (runs.folder / FILE).exists()
    empty = Store(
        runs.desk.metrics, lambda: ThreadedDatabase(SqliteDriver(runs.folder / "other.db"))
    )
    after = await runs.begun(store=empty)
    assert after.paper
    # And those that did not have it have it now, for the instances that have no such file.
    record = await empty.fact(FACT, ModeRecord)
    assert record is not None
    assert (record.mode, record.owner, record.reason) == (Mode.PAPER, *ORDER)
    await empty.close()
    runs.driver.gate.set()
    await asyncio.wait({task})


async def test_stuck_records_do_not_hinder_the_cancelling(
    runs: ModeHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They get a part of the deadline, and the answer says that they did not take it."""
    monkeypatch.setattr(module, "STORE_SECONDS", 0.05)
    switch, orders = await runs.begun(), Cancelling()
    orders.done.set()
    runs.driver.gate.clear()
    with pytest.raises(CommandFailed, match=r"in force on this instance.*2 orders were cancelled"):
        await go_paper(switch, orders, within=5)
    assert switch.paper


async def test_a_standby_that_knows_of_paper_takes_over_in_paper(runs: ModeHistory) -> None:
    """It cannot tell the others before it leads; then it does."""
    store = Away(runs.desk.metrics, lambda: ThreadedDatabase(SqliteDriver(runs.folder / "bot.db")))
    switch = runs.switch(store=store)
    with pytest.raises(CommandFailed, match="other instances do not know it: this"):
        await switch.go_paper(*ORDER)
    assert await runs.stored() is None
    store.leads = True
    await switch.restore()
    assert switch.paper
    other = runs.folder / "other"
    other.mkdir()
    assert (await runs.begun(folder=other)).paper
    await store.close()


async def test_a_standby_takes_over_in_paper_without_its_file(runs: ModeHistory) -> None:
    """Neither file nor records took it: the mode set in this process applies until it exits."""
    store = Away(runs.desk.metrics, lambda: ThreadedDatabase(SqliteDriver(runs.folder / "bot.db")))
    switch = runs.switch(store=store, folder=runs.folder / "absent")
    with pytest.raises(CommandFailed, match=r"it would be lost on restart: .*absent.*standby"):
        await switch.go_paper(*ORDER)
    await switch.restore()
    assert switch.paper
    await store.close()


async def test_paper_that_is_ordered_while_live_is_stored_stays(runs: ModeHistory) -> None:
    """The person did not know of it: they must look, and say so again."""
    (await runs.begun()).enter_paper(*ORDER)
    switch = await runs.begun()
    live = asyncio.create_task(switch.go_live("bob", "all is well", "alpha"))
    await asyncio.sleep(0)  # it waits for the records
    await switch.go_paper(*ORDER)
    with pytest.raises(CommandFailed, match="mode stays paper: the bot was switched to paper"):
        await live
    assert switch.paper
    assert await runs.stored() is Mode.PAPER
    assert (await runs.begun()).paper
    await switch.go_live("bob", "I have looked", "alpha")
    assert switch.mode.value == "live"
    assert not (runs.folder / FILE).exists()
    assert not (await runs.begun()).paper


async def test_live_that_was_stored_and_not_reached_is_paper(runs: ModeHistory) -> None:
    """The agent's deadline ends it in between: this life and the next agree."""
    switch = await runs.begun()
    await switch.go_paper(*ORDER)
    runs.driver.gate.clear()
    live = asyncio.create_task(switch.go_live("bob", "all is well", "alpha"))
    await asyncio.sleep(0)
    live.cancel()
    runs.driver.gate.set()
    await asyncio.wait({live})

    async def written() -> bool:
        return await runs.stored() is Mode.LIVE

    await eventually(written)
    assert switch.paper
    assert (await runs.begun()).paper
    assert await runs.stored() is Mode.PAPER


async def test_records_that_are_away_do_not_forget_it(runs: ModeHistory) -> None:
    """The answer says what is missing, and a restart finds the file."""
    away = Away(runs.desk.metrics, lambda: ThreadedDatabase(SqliteDriver(runs.folder / "other.db")))
    switch = await runs.begun(store=away)
    assert switch.mode.value == "live"
    with pytest.raises(CommandFailed, match="across restarts too, but it is not in the records"):
        await switch.go_paper(*ORDER)
    assert switch.paper
    assert (await runs.begun(store=away)).paper
    await away.close()


async def test_a_file_that_cannot_be_written_is_reported(runs: ModeHistory) -> None:
    """It is in force, and the records keep it."""
    folder = runs.folder / "absent"
    switch = await runs.begun(folder=folder)
    with pytest.raises(CommandFailed, match=r"only the records store it: .*absent/paper\.json"):
        await switch.go_paper(*ORDER)
    assert switch.paper
    assert (await runs.begun(folder=folder)).paper


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"mode": "live", "owner": "x"}'])
async def test_a_damaged_file_means_paper(runs: ModeHistory, content: bytes) -> None:
    (runs.folder / FILE).write_bytes(content)
    assert (await runs.begun()).paper


async def test_a_file_that_cannot_be_removed_keeps_paper(runs: ModeHistory) -> None:
    """Live would last until the next restart only: it is refused, and the records say paper."""
    (runs.folder / FILE).mkdir()
    switch = await runs.begun()
    assert switch.paper
    with pytest.raises(CommandFailed, match="mode stays paper: "):
        await switch.go_live("bob", "all is well", "alpha")
    assert switch.paper
    assert await runs.stored() is Mode.PAPER
