"""The agent monitor: an unresponsive agent is no crash, no restart and no delay of ours."""

import asyncio
import contextlib
import dataclasses
import signal
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from tests.builders import FixedSecrets
from tests.service.holds.bots import Manager, RealAgent
from tests.service.holds.conftest import Desk
from tests.service.stack.small_processes import REPOSITORY
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.clients.directory import Directory
from trading_ops.clients.http import Http
from trading_ops.clients.prometheus import Prometheus
from trading_ops.domain.decision import Pause
from trading_ops.domain.maintenance import Maintenance
from trading_ops.domain.target import Registry
from trading_ops.holds.agent_monitor import AgentMonitor
from trading_ops.holds.agent_probe import MISSES, ProbeTimeouts
from trading_ops.holds.suppression import Suppression
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reconciler.timeline import BEFORE, BESIDE
from trading_ops.store import events, maintenance

QUICK = ProbeTimeouts(halt=1.2, stop=2.4, poll=0.2, answer=0.6, late=2.0, unknown=2.0, grace=0.2)
"""The same proportions, two fifths of the time."""


_HOUR = timedelta(hours=1)


@dataclasses.dataclass
class Watching:
    """A running watch, and what it shows."""

    watch: AgentMonitor
    desk: Desk
    metrics: ReconcilerMetrics

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    @property
    def unresponsive(self) -> bool:
        return self.value("trading_ops_agent_unresponsive", bot="alpha") == 1

    async def heard(self) -> None:
        """Wait until the bot that runs now was heard."""
        await eventually(lambda: self.watch.probes["alpha"].report is not None)

    async def reasons_of(self, kind: str) -> list[str]:
        found = await self.desk.reader.read(lambda c: events.since(c, 0))
        return [event.note for event in found if event.kind == kind]


@contextlib.asynccontextmanager
async def watching(
    desk: Desk,
    *,
    timeouts: ProbeTimeouts = QUICK,
    observe_only: bool = False,
    registry: Registry | None = None,
    prometheus: Prometheus | None = None,
) -> AsyncIterator[Watching]:
    metrics = ReconcilerMetrics()
    watch = AgentMonitor(
        registry=registry or desk.registry,
        directory=desk.directory,
        holding=desk.holding,
        suppression=Suppression(reader=desk.reader, observe_only=observe_only),
        writer=desk.writer,
        reader=desk.reader,
        metrics=metrics,
        prometheus=prometheus,
        timeouts=timeouts,
    )
    running = asyncio.create_task(watch.run())
    try:
        yield Watching(watch, desk, metrics)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_agent_that_was_frozen_is_halted_and_stays_so(
    desk: Desk, bot: RealAgent, manager: tuple[Manager, str]
) -> None:
    """Back before its process is stopped: the halt is acknowledged, and no one releases it."""
    async with watching(desk) as run:
        await run.heard()
        thaw = bot.freeze()
        frozen = time.monotonic()
        await eventually(lambda: run.watch.probes["alpha"].requested_hold)
        assert time.monotonic() - frozen > 0.3
        thaw.set()
        await eventually(lambda: bot.state == "halted")
        key = f"agent-unresponsive-alpha-{bot.incarnation}"
        await eventually(lambda: desk.holding.is_acknowledged(key))
        await eventually(lambda: not run.unresponsive)
        labels = {"bot": "alpha", "state": "halted", "source": "machine"}
        await eventually(lambda: run.value("trading_ops_holds_active", **labels) == 1)
        await eventually(lambda: run.reasons_of("agent_answered"))
        assert (await desk.active_holds(), bot.holds) == ({key: "halted"}, {key})
        assert len(await run.reasons_of("agent_unresponsive")) == 1
    assert manager[0].orders == []


@contextlib.asynccontextmanager
async def process_of(bot: RealAgent) -> AsyncIterator[asyncio.subprocess.Process]:
    """An agent in a process of its own, in the place of the one in ours."""
    bot.stop()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.service.holds.agent_process",
        str(bot.port),
        str(bot.folder),
        cwd=REPOSITORY,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_process_that_is_alive_and_mute_is_stopped(
    desk: Desk, bot: RealAgent, manager: tuple[Manager, str]
) -> None:
    """Exactly that one; what starts after it is free, for the halt never came into force."""
    service, _ = manager
    async with process_of(bot) as process, watching(desk) as run:
        await run.heard()
        mute = service.incarnation = run.watch.probes["alpha"].incarnation
        service.process = process
        process.send_signal(signal.SIGSTOP)
        await asyncio.wait_for(service.stopped.wait(), 10)
        assert process.returncode == -signal.SIGKILL
        assert [order["incarnation"] for order in service.orders] == [mute]
        assert run.unresponsive
        await eventually(lambda: run.reasons_of("hold_withdrawn"))
        assert await run.reasons_of("agent_stopped")
        # As the timeline of an incident of alpha that opens now looks for them.
        seen = partial(
            events.about_target,
            target="alpha",
            kinds=BESIDE,
            since=clock.now() - BEFORE,
            until=None,
        )
        kinds = {event.kind for event in await desk.reader.read(seen)}
        assert kinds == {"agent_unresponsive", "hold_placed", "agent_stopped", "hold_withdrawn"}
        service.running, service.incarnation = True, None
        bot.start()
        await eventually(lambda: not run.unresponsive)
        await asyncio.sleep(3 * QUICK.poll)
        assert (bot.state, await desk.active_holds()) == ("active", {})


async def test_a_crash_ends_in_no_halt(
    desk: Desk, bot: RealAgent, manager: tuple[Manager, str]
) -> None:
    """The process is gone: there is nothing to halt, and its next life starts free."""
    service, _ = manager
    async with watching(desk) as run:
        await run.heard()
        service.running = False
        bot.stop()
        await eventually(lambda: run.unresponsive)
        await asyncio.sleep(1.2 * QUICK.stop)
        assert (await desk.active_holds(), service.orders) == ({}, [])
        service.running = True
        bot.start()
        await eventually(lambda: not run.unresponsive)
        assert bot.state == "active"


async def test_a_life_that_is_only_starting_is_left_alone(
    desk: Desk, bot: RealAgent, manager: tuple[Manager, str]
) -> None:
    """Another process than the one that last answered: it has not been heard yet."""
    service, _ = manager
    async with watching(desk) as run:
        await run.heard()
        service.incarnation = "77:77"
        bot.stop()
        await eventually(lambda: run.unresponsive)
        await asyncio.sleep(1.2 * QUICK.stop)
        assert (await desk.active_holds(), service.orders) == ({}, [])


async def test_a_crash_without_a_service_manager_ends_in_no_halt(
    desk: Desk, bot: RealAgent, manager: tuple[Manager, str]
) -> None:
    """A closed port is a process that died: nothing is halted, so no page says that it was."""
    service, _ = manager
    async with watching(desk) as run:
        await run.heard()
        service.down = True
        bot.stop()
        probe = run.watch.probes["alpha"]
        await eventually(lambda: clock.monotonic() - probe.quiet_from > 1.5 * QUICK.stop)
        assert (run.unresponsive, await desk.active_holds(), service.orders) == (True, {}, [])
        assert await run.reasons_of("hold_placed") == []


async def test_a_crash_after_the_halt_was_asked_for_takes_it_back(
    desk: Desk, bot: RealAgent, manager: tuple[Manager, str]
) -> None:
    """Asked for while it was mute and no one could tell whether it lives; then its port closes."""
    service, _ = manager
    async with watching(desk) as run:
        await run.heard()
        service.down = True
        bot.stop()
        accepted: list[asyncio.StreamWriter] = []
        mute = await asyncio.start_server(
            lambda _reader, writer: accepted.append(writer), "127.0.0.1", bot.port
        )
        await eventually(desk.active_holds)
        mute.close()
        for writer in accepted:
            writer.transport.abort()
        await eventually(lambda: run.reasons_of("hold_withdrawn"))
        assert (service.orders, await desk.active_holds()) == ([], {})
        bot.start()
        await eventually(lambda: not run.unresponsive)
        assert (bot.state, await desk.active_holds()) == ("active", {})


async def test_without_a_service_manager_the_halt_is_asked_for_and_nothing_is_stopped(
    desk: Desk, bot: RealAgent, manager: tuple[Manager, str]
) -> None:
    """Unknown is not gone: the halt waits for the bot."""
    service, _ = manager
    service.down = True
    async with watching(desk) as run:
        await run.heard()
        thaw = bot.freeze()
        await eventually(desk.active_holds)
        await asyncio.sleep(1.2 * QUICK.stop)
        assert service.orders == []
        thaw.set()
        await eventually(lambda: bot.state == "halted")


async def test_a_short_gap_is_ignored(desk: Desk, bot: RealAgent) -> None:
    """Two thirds of the time that it takes: nothing happens."""
    async with watching(desk, timeouts=dataclasses.replace(QUICK, halt=2.0, stop=4.0)) as run:
        await run.heard()
        thaw = bot.freeze()
        await eventually(lambda: run.watch.probes["alpha"].misses > 3)
        thaw.set()
        await eventually(lambda: run.watch.probes["alpha"].misses == 0)
        assert (await desk.active_holds(), bot.state, run.unresponsive) == ({}, "active", False)


async def test_a_hold_on_a_bot_that_was_renamed_is_shown_and_released(desk: Desk) -> None:
    """The alert `TradingBotHoldNotInForce` reads it; it ends when an operator releases the hold."""
    placed = await desk.holding.place(desk.target, "halted", owner="ada", reason="odd fills")
    renamed = Registry(
        tuple(
            dataclasses.replace(target, name="omega") if target == desk.target else target
            for target in desk.registry
        )
    )
    name = "trading_ops_holds_unregistered"
    async with watching(desk, registry=renamed) as run:
        await eventually(lambda: run.value(name, bot="alpha") == 1)
        released = await desk.holding.release_unregistered(
            "alpha", None, owner="ada", reason="renamed"
        )
        assert released.ids == {placed.id}
        await eventually(lambda: run.value(name, bot="alpha") is None)
        assert await desk.active_holds() == {}


async def test_our_own_slowness_is_no_silence(desk: Desk, bot: RealAgent) -> None:
    """No answer comes, but each deadline passes while our own loop stands still."""
    timeouts = dataclasses.replace(QUICK, late=0.1)
    async with watching(desk, timeouts=timeouts) as run:
        await run.heard()
        thaw = bot.freeze()
        try:
            for _ in range(4):
                time.sleep(1.0)  # noqa: ASYNC251 - that is the fault
                await asyncio.sleep(0.05)
            assert (run.unresponsive, run.watch.probes["alpha"].requested_hold) == (False, None)
        finally:
            thaw.set()


@pytest.mark.parametrize(
    "why", ["paused", "maintenance", "observe_only", "target_observe_only", "off"]
)
async def test_what_suppresses_automation_suppresses_the_halt(
    desk: Desk, bot: RealAgent, manager: tuple[Manager, str], why: str
) -> None:
    """Nothing is halted or stopped; what would have been done is recorded, once."""
    if why == "paused":
        pause = Pause(owner="ada", reason="upgrade", expires_at=clock.now() + _HOUR)
        await desk.writer.run(lambda c: maintenance.begin_pause(c, pause, now=clock.now()))
    if why == "maintenance":
        window = Maintenance(
            target="alpha",
            owner="ada",
            reason="upgrade",
            begins_at=clock.now(),
            ends_at=clock.now() + _HOUR,
        )
        await desk.writer.run(lambda c: maintenance.begin(c, window, now=clock.now()))
    registry = desk.registry
    if why == "target_observe_only":
        registry = Registry(
            tuple(dataclasses.replace(target, observe_only=True) for target in desk.registry)
        )
    timeouts = dataclasses.replace(QUICK, halt=0.0) if why == "off" else QUICK
    async with watching(
        desk, observe_only=why == "observe_only", registry=registry, timeouts=timeouts
    ) as run:
        await run.heard()
        await asyncio.sleep(2 * QUICK.poll)
        thaw = bot.freeze()
        if why != "off":
            (reason,) = await eventually(lambda: run.reasons_of("decided_wait"))
            assert "would have halted" in reason
            await eventually(lambda: run.unresponsive)
        await asyncio.sleep(1.2 * QUICK.stop)
        assert (await desk.active_holds(), manager[0].orders) == ({}, [])
        assert len(await run.reasons_of("decided_wait")) == (why != "off")
        thaw.set()
        await eventually(lambda: not run.unresponsive)
    assert bot.state == "active"


async def test_a_bot_that_was_never_heard_is_shown_and_left_alone(
    desk: Desk, bot: RealAgent, manager: tuple[Manager, str]
) -> None:
    """No one knows which process is meant."""
    bot.stop()
    async with watching(desk) as run:
        await eventually(lambda: run.unresponsive)
        await asyncio.sleep(QUICK.stop)
        assert (await desk.active_holds(), manager[0].orders) == ({}, [])


async def test_the_error_of_a_silent_agent_is_logged_once_for_each_silence(
    desk: Desk, bot: RealAgent
) -> None:
    """The runbook distinguishes a wrong token from no answer by this line."""
    tokens = {"alpha": "wrong"}
    async with aiohttp.ClientSession() as session:
        directory = Directory(session, desk.registry, FixedSecrets(agents=tokens))
        with capture_logs() as lines:
            async with watching(dataclasses.replace(desk, directory=directory)) as run:
                probe = run.watch.probes["alpha"]
                await eventually(lambda: probe.misses > 2 * MISSES)
                tokens["alpha"] = "agent"
                await run.heard()
                bot.stop()
                await eventually(lambda: probe.misses > 2 * MISSES)
    errors = [line["error"] for line in lines if line["event"] == "agent_probe_failed"]
    assert ["401" in error for error in errors] == [True, False]
    assert {line["target"] for line in lines if line["event"] == "agent_probe_failed"} == {"alpha"}


async def test_holds_are_kept_in_force_second_by_second(desk: Desk, bot: RealAgent) -> None:
    """A bot that comes back without its file is halted by the watch; the journal is settled."""
    desk.break_database()
    placed = await desk.holding.place(desk.target, "halted", owner="ada", reason="odd fills")
    async with watching(desk) as run:
        await run.heard()
        await eventually(lambda: run.value("trading_ops_holds_not_stored") == 1)
        desk.repair_database()
        await eventually(lambda: run.value("trading_ops_holds_not_stored") == 0)
        bot.stop()
        bot.forget()
        bot.start()
        await eventually(lambda: bot.state == "halted")
        labels = {"bot": "alpha", "state": "halted", "source": "person"}
        assert run.value("trading_ops_holds_active", **labels) == 1
    assert await desk.active_holds() == {placed.id: "halted"}


@dataclasses.dataclass
class Heartbeats:
    """A Prometheus that knows one thing: the age of a heartbeat."""

    age: float | None

    async def query(self, _request: web.Request) -> web.Response:
        found = [] if self.age is None else [{"metric": {}, "value": [0, str(self.age)]}]
        data = {"resultType": "vector", "result": found}
        return web.json_response({"status": "success", "data": data})

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[Prometheus]:
        app = web.Application()
        app.router.add_get("/api/v1/query", self.query)
        async with TestServer(app, host="127.0.0.1") as server, aiohttp.ClientSession() as session:
            yield Prometheus(Http(session, f"http://127.0.0.1:{server.port}"))


async def test_a_bot_whose_heartbeat_prometheus_sees_is_left_alone(
    desk: Desk, bot: RealAgent, manager: tuple[Manager, str]
) -> None:
    """Its agent is mute and it trades; when the heartbeat stops as well, it is halted."""
    heartbeats = Heartbeats(age=0.5)
    async with heartbeats.served() as prometheus, watching(desk, prometheus=prometheus) as run:
        await run.heard()
        thaw = bot.freeze()
        (reason,) = await eventually(lambda: run.reasons_of("agent_not_stopped"))
        assert "heartbeat" in reason
        probe = run.watch.probes["alpha"]
        await eventually(lambda: clock.monotonic() - probe.quiet_from > 1.5 * QUICK.stop)
        assert (await desk.active_holds(), manager[0].orders, run.unresponsive) == ({}, [], True)
        heartbeats.age = None
        await eventually(desk.active_holds)
        thaw.set()
        await eventually(lambda: bot.state == "halted")


async def test_an_overloaded_agent_is_neither_halted_nor_stopped(
    desk: Desk, bot: RealAgent, manager: tuple[Manager, str]
) -> None:
    """It accepts connections and ends them unanswered: its loop runs."""

    def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with watching(desk) as run:
        await run.heard()
        bot.stop()
        async with await asyncio.start_server(refuse, "127.0.0.1", bot.port):
            assert (
                "overloaded" in (await eventually(lambda: run.reasons_of("agent_not_stopped")))[0]
            )
            probe = run.watch.probes["alpha"]
            await eventually(lambda: clock.monotonic() - probe.quiet_from > 1.5 * QUICK.stop)
            assert (await desk.active_holds(), manager[0].orders) == ({}, [])


async def test_a_new_life_that_never_answers_is_stopped_in_the_end(
    desk: Desk, bot: RealAgent, manager: tuple[Manager, str]
) -> None:
    """Exactly that process, and no more often than the budget allows."""
    service, _ = manager
    timeouts = dataclasses.replace(QUICK, start=1.0, stops=1)
    async with watching(desk, timeouts=timeouts) as run:
        await run.heard()
        service.incarnation = "77:77"
        bot.stop()
        await asyncio.wait_for(service.stopped.wait(), 60)
        assert await desk.active_holds() == {}
        service.running, service.incarnation = True, "78:78"
        assert "too often" in (await eventually(lambda: run.reasons_of("agent_not_stopped")))[0]
        assert [order["incarnation"] for order in service.orders] == ["77:77"]


async def test_the_budget_of_stops_outlives_the_reconciler(
    desk: Desk, bot: RealAgent, manager: tuple[Manager, str]
) -> None:
    """A second watch on the same database knows what the first one stopped, and stops no more."""
    service, _ = manager
    timeouts = dataclasses.replace(QUICK, start=1.0, stops=1)
    async with watching(desk, timeouts=timeouts) as run:
        await run.heard()
        service.incarnation = "77:77"
        bot.stop()
        await asyncio.wait_for(service.stopped.wait(), 60)
        await eventually(lambda: run.reasons_of("agent_stopped"))
    service.running, service.incarnation = True, None
    bot.start()
    async with watching(desk, timeouts=timeouts) as run:
        await run.heard()
        await eventually(lambda: run.watch.probes["alpha"].stops)
        service.incarnation = "78:78"
        bot.stop()
        assert "too often" in (await eventually(lambda: run.reasons_of("agent_not_stopped")))[0]
        assert [order["incarnation"] for order in service.orders] == ["77:77"]
