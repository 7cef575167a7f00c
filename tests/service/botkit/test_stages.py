"""Stages and their supervisor: who fails, who is blocked, who is started again."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.service.botkit.conftest import sample, until
from trading_ops.agent import CommandFailed
from trading_ops.botkit.component import Component, Unavailable
from trading_ops.botkit.stage import Stage
from trading_ops.botkit.supervisor import Supervisor
from trading_ops.instrument import BotMetrics


class Doubler(Stage[int, int]):
    """Doubles; fails on zero, is blocked on minus one, hangs on minus two."""

    def __init__(self, metrics: BotMetrics) -> None:
        super().__init__("signals", metrics, threshold=2, cool_off_seconds=0.05)
        self.hanging = asyncio.Event()

    async def work(self, asked: int) -> int:
        if asked == 0:
            raise ValueError("zero")
        if asked == -1:
            raise Unavailable("broker: down")
        if asked == -2:
            self.hanging.set()
            await asyncio.Event().wait()
        return 2 * asked


@pytest.fixture
async def doubler(metrics: BotMetrics) -> AsyncIterator[Doubler]:
    stage = Doubler(metrics)
    supervisor = Supervisor([stage])
    supervisor.start()
    yield stage
    await supervisor.stop()


async def test_stage_answers(doubler: Doubler, metrics: BotMetrics) -> None:
    """What is asked is worked on in the stage's own task, and success is recorded."""
    assert await doubler.ask(21, within=5) == 42
    assert doubler.up
    assert doubler.last_success_at is not None
    assert sample(metrics, "trading_component_up", component="signals") == 1


async def test_stage_has_work_while_something_is_asked(doubler: Doubler) -> None:
    """To wait for a request is not to be stuck; to hang in one is."""
    seen = []
    await doubler.ask(21, within=5)
    await asyncio.sleep(0)
    seen.append(doubler.has_work)
    asked = asyncio.create_task(doubler.ask(-2, within=0.2))
    await doubler.hanging.wait()
    seen.append(doubler.has_work)
    with pytest.raises(Unavailable):
        await asked
    seen.append(doubler.has_work)
    assert seen == [False, True, True]


async def test_failing_stage_opens_its_breaker_and_recovers(
    doubler: Doubler, metrics: BotMetrics
) -> None:
    """Failures in a row take the stage down; after the cool-off one good answer recovers it."""
    for _ in range(2):
        with pytest.raises(Unavailable, match="ValueError: zero"):
            await doubler.ask(0, within=5)
    with pytest.raises(Unavailable, match="breaker is open"):
        await doubler.ask(1, within=5)
    assert not doubler.up
    assert "zero" in doubler.health.detail
    assert sample(metrics, "trading_circuit_breaker_state", component="signals") == 2
    await until(lambda: doubler.breaker.seconds_until_trial() <= 0)
    assert await doubler.ask(1, within=5) == 2
    assert doubler.up


async def test_blocked_stage_is_not_at_fault(doubler: Doubler) -> None:
    """A stage whose dependency is down stays up, however often."""
    for _ in range(5):
        with pytest.raises(Unavailable, match="broker: down"):
            await doubler.ask(-1, within=5)
    assert doubler.up


async def test_hanging_stage_is_seen_and_can_be_restarted(metrics: BotMetrics) -> None:
    """A stage that does not answer fails its asker in time, and a restart frees it."""
    stage = Doubler(metrics)
    supervisor = Supervisor([stage])
    supervisor.start()
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"no answer within 0.02 s|breaker"):
            await stage.ask(-2, within=0.02)
    assert not stage.up
    await supervisor.restart("signals", within=5)
    assert await stage.ask(4, within=5) == 8
    await supervisor.stop()


async def test_restart_refuses_who_waits(metrics: BotMetrics) -> None:
    """A caller that waits for a restarted stage gets an error instead of waiting forever."""
    stage = Doubler(metrics)
    supervisor = Supervisor([stage])
    supervisor.start()
    waiting = asyncio.create_task(stage.ask(-2, within=5))
    await stage.hanging.wait()
    await supervisor.restart("signals", within=5)
    with pytest.raises(Unavailable, match="restarted"):
        await waiting
    await supervisor.stop()


class Crasher(Component):
    """Crashes some times, ends once, then works."""

    def __init__(self, metrics: BotMetrics) -> None:
        super().__init__("feed", metrics, threshold=2, cool_off_seconds=0.05)
        self.runs = 0

    async def run(self) -> None:
        self.runs += 1
        if self.runs == 1:
            raise RuntimeError("bug")
        if self.runs == 2:
            return
        self.mark(up=True, detail="well")
        await asyncio.Event().wait()


async def test_crashed_component_is_started_again(metrics: BotMetrics) -> None:
    """A component that crashes or ends comes back on its own, and restarts are counted."""
    component = Crasher(metrics)
    supervisor = Supervisor([component])
    supervisor.start()
    await component.wait_up()
    assert component.runs == 3
    assert sample(metrics, "trading_component_restarts_total", component="feed") == 2
    await supervisor.stop()
    assert not component.up


async def test_restarts_at_once_leave_one_component_running(metrics: BotMetrics) -> None:
    """Several restarts at the same time end with one task; after the end there is none."""
    stage = Doubler(metrics)
    supervisor = Supervisor([stage])
    supervisor.start()
    await asyncio.gather(*(supervisor.restart("signals", within=5) for _ in range(5)))
    tasks = [task for task in asyncio.all_tasks() if task.get_name() == "component-signals"]
    assert len(tasks) == 1
    await supervisor.stop()
    with pytest.raises(CommandFailed, match="stopping"):
        await supervisor.restart("signals", within=5)
    assert all(task.done() for task in tasks)
