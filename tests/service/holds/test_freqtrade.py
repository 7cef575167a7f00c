"""Holds on a Freqtrade: placed at once, kept in force, released only by operators."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.builders import FixedSecrets, make_target
from tests.free_ports import free_port
from tests.service.clients.trading_freqtrade import TradingFreqtrade
from tests.service.exporter.freqtrades import PASSWORD, USER
from tests.service.holds.bots import RealAgent
from tests.service.holds.test_started_reconciler import TARGETS
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.main import run as trading_ops
from trading_ops.clients.directory import Directory
from trading_ops.domain.hold import HeldState, Hold
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import Refused, StoreUnavailable
from trading_ops.holds.agent_monitor import AgentMonitor
from trading_ops.holds.agent_probe import ProbeTimeouts
from trading_ops.holds.holds import AgentReport, HoldManager
from trading_ops.holds.suppression import Suppression
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.store import Connection, events, holds
from trading_ops.store.engine import reading_engine
from trading_ops.store.journal import Journal
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

ADA = {"owner": "ada", "reason": "odd fills"}
QUICK = ProbeTimeouts(
    halt=0.4, stop=0.8, poll=0.1, answer=0.2, answer_of_freqtrade=0.2, late=1.0, unknown=1.0
)


@dataclass
class Desk:
    """What holds a Freqtrade, and the Freqtrade, which may go and come back."""

    fake: TradingFreqtrade
    target: Target
    registry: Registry
    directory: Directory
    secrets: FixedSecrets
    holding: HoldManager
    reader: Reader
    writer: Writer
    port: int
    served: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def start(self) -> None:
        await self.served.enter_async_context(self.fake.serving(self.port))

    async def die(self) -> None:
        await self.served.aclose()

    @property
    def halted(self) -> bool:
        return self.fake.state == "paused" and len(self.fake.active_locks()) > 0

    async def active_holds(self) -> dict[str, str]:
        return {hold.id: hold.state.value for hold in await self.reader.read(holds.active)}

    async def kinds(self) -> list[str]:
        return [event.kind for event in await self.reader.read(lambda c: events.since(c, 0))]


@pytest.fixture
async def desk(tmp_path: Path, writer: Writer) -> AsyncIterator[Desk]:
    port = free_port()
    freq = make_target(
        name="freq",
        kind=Kind.FREQTRADE,
        address=f"127.0.0.1:{port}",
        service=None,
        observe_only=True,
    )
    registry = Registry((freq,))
    reader = Reader(reading_engine(f"sqlite:///{tmp_path / 'test.db'}"))
    async with aiohttp.ClientSession() as session:
        secrets = FixedSecrets(freqtrade=f"{USER}:{PASSWORD}")
        directory = Directory(session, registry, secrets)
        holding = HoldManager(
            writer=writer,
            reader=reader,
            directory=directory,
            registry=registry,
            journal=Journal(tmp_path / "journal"),
        )
        desk = Desk(
            TradingFreqtrade(), freq, registry, directory, secrets, holding, reader, writer, port
        )
        await desk.start()
        yield desk
        await desk.die()
        holding.close()
    reader.close()


@contextlib.asynccontextmanager
async def watching(desk: Desk) -> AsyncIterator[AgentMonitor]:
    watch = AgentMonitor(
        registry=desk.registry,
        directory=desk.directory,
        holding=desk.holding,
        suppression=Suppression(reader=desk.reader, observe_only=False),
        writer=desk.writer,
        reader=desk.reader,
        metrics=ReconcilerMetrics(),
        timeouts=QUICK,
    )
    running = asyncio.create_task(watch.run())
    try:
        await eventually(lambda: watch.probes["freq"].report is not None)
        yield watch
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_halt_is_acknowledged_and_stored(desk: Desk) -> None:
    """In observe-only mode too, and while its loop is stuck: it is an operator's word."""
    desk.fake.blocked, desk.fake.hangs = True, {"status", "balance"}
    placed = await desk.holding.place(desk.target, "halted", **ADA)
    assert (placed.acknowledged, placed.stored) == (True, True)
    assert desk.halted
    assert await desk.active_holds() == {placed.id: "halted"}


@pytest.mark.parametrize("how", ["restart", "reload", "start", "unlock"])
async def test_a_hold_released_elsewhere_is_placed_again(desk: Desk, how: str) -> None:
    """A restart, a reload, and a hand in its own window: the desired state is kept by us."""
    placed = await desk.holding.place(desk.target, "halted", **ADA)
    fake = desk.fake
    async with watching(desk):
        await eventually(lambda: desk.holding.is_acknowledged(placed.id))
        if how == "restart":
            await desk.die()
            fake.restart()
            assert fake.state == "running"
            await desk.start()
        elif how == "reload":
            fake.restart()
        elif how == "start":
            fake.state = "running"
        else:
            fake.state, fake.locks[0]["active"] = "running", False
        await eventually(lambda: desk.halted)

        async def is_reported() -> bool:
            return "hold_reapplied" in await desk.kinds()

        await eventually(is_reported)
    assert len(fake.active_locks()) == 1
    assert await desk.active_holds() == {placed.id: "halted"}


async def test_a_person_names_what_is_released(desk: Desk) -> None:
    """The other hold keeps it paused, and both the timeline and the bot agree."""
    first = await desk.holding.place(desk.target, "halted", **ADA)
    second = await desk.holding.place(desk.target, "halted", **ADA)
    async with watching(desk):
        released = await desk.holding.release(desk.target, ids=frozenset({first.id}), **ADA)
        assert released.ids == {first.id}
        await desk.holding.enforce()
        assert desk.halted
        assert await desk.active_holds() == {second.id: "halted"}
        await desk.holding.release(desk.target, ids=None, **ADA)
        await desk.holding.enforce()
        assert (desk.fake.state, desk.fake.active_locks()) == ("running", [])
    assert await desk.active_holds() == {}


async def test_a_release_is_not_undone_by_what_was_read_before_it_was_stored(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bot has no hold any more and reports no release; the database still has the hold."""
    await desk.holding.place(desk.target, "halted", **ADA)
    memory, passes = desk.holding._memory, list[asyncio.Task[None]]()
    write = memory.write

    async def late(work: Callable[[Connection], Any]) -> Any:
        if not desk.fake.active_locks() and not passes:
            asked_at = clock.monotonic()
            health = await desk.directory.bot(desk.target).health()
            reports = {"freq": AgentReport(asked_at=asked_at, health=health)}
            passes.append(asyncio.create_task(desk.holding.enforce(reports)))
            await eventually(lambda: desk.holding._locks["freq"]._waiters)
        return await write(work)

    monkeypatch.setattr(memory, "write", late)
    await desk.holding.release(desk.target, ids=None, **ADA)
    await asyncio.gather(*passes)
    assert len(passes) == 1
    assert (desk.fake.state, desk.fake.active_locks()) == ("running", [])


async def test_a_release_that_could_not_be_stored_is_reported_as_undone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Freqtrade does not remember who released what, so the database's word stands: careful."""
    placed = await desk.holding.place(desk.target, "halted", **ADA)
    write = desk.holding._memory.write

    async def broken(work: Callable[[Connection], Any]) -> Any:
        if not desk.fake.active_locks():
            raise StoreUnavailable("away")
        return await write(work)

    monkeypatch.setattr(desk.holding._memory, "write", broken)
    released = await desk.holding.release(desk.target, ids=None, **ADA)
    assert "Release it again" in released.detail
    monkeypatch.undo()
    await desk.holding.enforce()
    assert desk.halted
    assert await desk.active_holds() == {placed.id: "halted"}


async def test_what_it_alone_was_sent_is_kept(desk: Desk) -> None:
    """As by `trading-ops halt` while no reconciler runs: found at the bot, and then ours."""
    hold = {**ADA, "id": "by-hand"}
    await desk.directory.bot(desk.target).command(
        "halt", hold, attempt_id="x", fence=0, within=timedelta(seconds=2)
    )
    async with watching(desk):
        await eventually(desk.active_holds)
        assert await desk.active_holds() == {"by-hand": "halted"}
        released = await desk.holding.release(desk.target, ids=None, **ADA)
        assert released.ids == {"by-hand"}
        assert (desk.fake.state, desk.fake.active_locks()) == ("running", [])


async def test_a_restart_is_no_reason_to_halt(desk: Desk) -> None:
    """It takes longer than our timeouts, and it comes back as free as it was."""
    async with watching(desk) as watch:
        started = watch.probes["freq"].incarnation
        await desk.die()
        await eventually(lambda: "agent_unresponsive" in watch.probes["freq"].recorded)
        await asyncio.sleep(1.5 * QUICK.stop)
        assert await desk.active_holds() == {}
        desk.fake.restart()
        await desk.start()
        await eventually(lambda: watch.probes["freq"].incarnation != started)
        await asyncio.sleep(4 * QUICK.poll)
        assert (desk.fake.state, desk.fake.active_locks()) == ("running", [])
    assert await desk.active_holds() == {}
    assert "agent_unresponsive" in await desk.kinds()
    assert "hold_placed" not in await desk.kinds()


async def test_one_that_is_frozen_is_halted_when_it_answers(desk: Desk) -> None:
    """SIGSTOP: what an operator ordered meanwhile is stored, and in force at its next answer."""
    async with watching(desk):
        desk.fake.hangs = {"*"}
        placed = await desk.holding.place(desk.target, "halted", **ADA)
        assert placed.stored
        desk.fake.thaw()
        await eventually(lambda: desk.holding.is_acknowledged(placed.id))
    assert desk.halted


async def test_one_that_does_not_obey_keeps_no_one_waiting(desk: Desk, tmp_path: Path) -> None:
    """While the first of two is being halted, the second is halted too."""
    other = TradingFreqtrade()
    async with other.serving() as address:
        second = replace(desk.target, name="second", address=address)
        registry = Registry((desk.target, second))
        holding = HoldManager(
            writer=desk.writer,
            reader=desk.reader,
            directory=desk.directory,
            registry=registry,
            journal=Journal(tmp_path / "another"),
        )
        for target in registry:
            hold = Hold(
                id=target.name, target=target.name, state=HeldState.HALTED, at=clock.now(), **ADA
            )
            await desk.writer.run(partial(holds.place, hold=hold, now=clock.now()))
        async with holding._locks["freq"]:
            enforcing = asyncio.create_task(holding.enforce())
            await eventually(lambda: other.state == "paused")
            assert not enforcing.done()
        await enforcing
        assert desk.halted
        holding.close()


async def test_a_wrong_password_is_reported_and_stores_the_halt(desk: Desk) -> None:
    """The answer says why it is not in force; with the right one it is placed."""
    desk.secrets.freqtrade = f"{USER}:wrong"
    placed = await desk.holding.place(desk.target, "halted", **ADA)
    assert (placed.stored, placed.acknowledged) == (True, False)
    assert "401" in placed.detail
    with pytest.raises(Refused):
        await desk.holding.release(desk.target, ids=None, **ADA)
    desk.secrets.freqtrade = f"{USER}:{PASSWORD}"
    await desk.holding.enforce()
    assert desk.halted


@pytest.fixture
def root(tmp_path: Path, bot: RealAgent, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation in which no reconciler answers."""
    free = [free_port() for _ in range(7)]
    text = TARGETS.format(agent=bot.address, free=free)
    text += (
        f'  - {{name: exporter, kind: exporter, address: "127.0.0.1:{free[6]}"}}\n'
        f'  - {{name: freq, kind: freqtrade, address: "{desk.target.address}", venue: binance}}\n'
    )
    (tmp_path / "targets.yml").write_text(text)
    secrets = tmp_path / "var" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "agent_token").write_text("agent")
    (secrets / "operator_token").write_text("operator")
    (secrets / "freqtrade_freq").write_text(f"{USER}:{PASSWORD}\n")
    (secrets / "freqtrade_freq").chmod(0o600)
    monkeypatch.setenv("TRADING_OPS_ROOT", str(tmp_path))
    return tmp_path


async def test_without_a_reconciler_the_halt_goes_to_the_freqtrade(
    root: Path, desk: Desk, bot: RealAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its loop may be stuck: its API answers. Nothing of our own bots is needed for it."""
    (root / "var" / "secrets" / "agent_token").unlink()
    desk.fake.blocked, desk.fake.hangs = True, {"status"}
    command = ["halt", "freq", "--reason", "odd fills", "--owner", "ada"]
    assert await asyncio.to_thread(trading_ops, command) == ExitCode.OK
    assert "freq is halted" in capsys.readouterr().out
    assert desk.halted
    assert bot.state == "active"


async def test_halt_all_reaches_every_bot(
    root: Path, desk: Desk, bot: RealAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    """One command for both kinds; one that cannot be reached is named, and the other is halted."""
    command = ["halt", "--all", "--reason", "odd fills", "--owner", "ada"]
    assert await asyncio.to_thread(trading_ops, command) == ExitCode.OK
    assert (bot.state, desk.halted) == ("halted", True)
    (root / "var" / "secrets" / "freqtrade_freq").chmod(0o644)
    assert await asyncio.to_thread(trading_ops, command) == ExitCode.FAILED
    output = capsys.readouterr().out
    assert "freq has NOT acknowledged that it is halted" in output
    assert "others can read it. Fix: chmod go= " in output
