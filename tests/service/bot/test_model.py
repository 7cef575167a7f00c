"""The model in its own process: each of its faults, the fallback, and the way back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from tests.service.botkit.conftest import SYMBOL, sample, until
from tests.waiting import PATIENCE
from trading_ops import clock
from trading_ops.botkit.orders.market import Quote
from trading_ops.botkit.records.events import Event
from trading_ops.botkit.supervisor import Supervisor
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.signals.advice import Advice
from trading_ops_lab.paper.bot.signals.component import SOURCE, Signals
from trading_ops_lab.paper.bot.signals.faults import ModelFault, break_model, repair_model
from trading_ops_lab.paper.bot.signals.model import MODEL, ModelProcess
from trading_ops_lab.paper.bot.signals.settings import SignalSettings
from trading_ops_lab.paper.bot.trading.strategy import Target

pytestmark = pytest.mark.long

ETH = "ETH/USD"
SETTINGS = SignalSettings(
    timeout_seconds=1.5,
    maximum_age_seconds=3.0,
    failures=2,
    recover_after=3,
    max_backoff_seconds=0.2,
)


class Desk:
    """Signals with a model, passes manually, and what is reported them."""

    def __init__(self, metrics: BotMetrics, folder: Path, settings: SignalSettings) -> None:
        self.metrics = metrics
        self.folder = folder
        self.source = ModelProcess(folder, seed=7)
        self.events: list[Event] = []
        self.store_is_down = False
        self.signals = Signals(
            metrics,
            symbols=[SYMBOL, ETH],
            fast=1,
            slow=2,
            advice=Advice(self.source, metrics, settings, record=self._note),
            fallback=settings.fallback,
        )
        self.supervisor = Supervisor([self.signals])
        self._price = 100

    async def pass_(self) -> dict[str, Target]:
        self._price += 1
        price = Decimal(self._price)
        quote = Quote(bid=price, ask=price, at=clock.timestamp())
        return await self.signals.ask({SYMBOL: quote, ETH: quote}, within=5)

    async def passes_until(self, condition: Callable[[], object], within: float = 40.0) -> None:
        deadline = clock.monotonic() + within * PATIENCE
        while not condition():
            assert clock.monotonic() < deadline, self.signals.detail
            await self.pass_()
            await asyncio.sleep(0.02)

    @property
    def decider(self) -> str:
        return next((decided.source for decided in self.signals.decided.values()), "")

    def count(self, outcome: str) -> float:
        return sample(self.metrics, "trading_signals_total", source=MODEL, outcome=outcome)

    async def _note(self, event: Event) -> None:
        if self.store_is_down:
            raise StoreError("away")
        self.events.append(event)


@pytest.fixture
async def desk(metrics: BotMetrics, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(metrics, tmp_path, SETTINGS)
    desk.supervisor.start()
    yield desk
    await desk.supervisor.stop()


async def test_the_fallback_decides_until_the_model_has_proved_itself(desk: Desk) -> None:
    """Both are reported; the strategy keeps receiving prices."""
    await desk.pass_()
    targets = await desk.pass_()
    assert (targets, desk.decider) == ({SYMBOL: Target.LONG, ETH: Target.LONG}, SOURCE)
    assert sample(desk.metrics, "trading_signal_fallback_active") == 1
    assert sample(desk.metrics, "trading_signal_fallbacks_total", source=MODEL) == 2
    await desk.passes_until(lambda: desk.decider == MODEL)
    assert sample(desk.metrics, "trading_signal_fallback_active") == 0
    assert desk.count("ok") >= 3 * 2
    await until(lambda: [event.code for event in desk.events] == ["model_decides"])
    decided = desk.signals.decided[SYMBOL]
    assert (decided.target, decided.source) == (Target.LONG, MODEL)
    assert decided.confidence is not None
    assert "model decides" in desk.signals.detail


@pytest.mark.parametrize(
    ("fault", "outcome", "problem"),
    [
        (ModelFault.HANG, "timeout", "no answer within"),
        (ModelFault.CRASH, "failed", "ended"),
        (ModelFault.NOT_A_NUMBER, "invalid", "not a signal"),
        (ModelFault.OUT_OF_RANGE, "invalid", "invalid confidence 17"),
        (ModelFault.STALE, "invalid", "s old"),
        (ModelFault.WRONG_SYMBOL, "invalid", "instead of"),
        (ModelFault.GARBAGE, "invalid", "not a signal"),
    ],
)
async def test_a_sick_model_is_replaced_and_comes_back(
    desk: Desk, fault: ModelFault, outcome: str, problem: str
) -> None:
    """By the fallback, at once; on its own after its process was started again and answers well."""
    await desk.passes_until(lambda: desk.decider == MODEL)
    first = desk.source.pid
    break_model(desk.folder, fault)
    await desk.passes_until(lambda: desk.decider == SOURCE and desk.count(outcome))
    assert sample(desk.metrics, "trading_signal_fallback_active") == 1
    assert problem in desk.signals.detail
    await desk.passes_until(lambda: desk.source.pid not in {None, first})
    assert desk.decider == SOURCE
    repair_model(desk.folder)
    await desk.passes_until(lambda: desk.decider == MODEL)
    codes = [event.code for event in desk.events]
    assert {codes[0], codes[-1]} == {"model_decides"}
    problems = [
        event.detail["problem"] for event in desk.events if event.code == "fallback_decides"
    ]
    assert any(problem in reported for reported in problems)


async def test_a_frozen_model_is_killed_and_started_again(desk: Desk) -> None:
    """SIGSTOP: it listens to no signal but one."""
    await desk.passes_until(lambda: desk.decider == MODEL)
    first = desk.source.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    await desk.passes_until(lambda: desk.decider == SOURCE)
    await desk.passes_until(lambda: desk.decider == MODEL)
    assert desk.source.pid != first
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


async def test_a_slow_model_is_used_late(metrics: BotMetrics, tmp_path: Path) -> None:
    """Over its budget and within its time: the pass goes by the answer before."""
    settings = SignalSettings(
        budget_seconds=0.001, timeout_seconds=5, maximum_age_seconds=5, recover_after=1
    )
    desk = Desk(metrics, tmp_path, settings)
    break_model(tmp_path, ModelFault.SLOW, 0.05)
    desk.supervisor.start()
    await desk.passes_until(lambda: desk.decider == MODEL)
    before = desk.count("ok")
    await desk.passes_until(lambda: desk.count("ok") > before + 2)
    assert desk.decider == MODEL
    assert desk.count("skipped") > 0  # what was offered meanwhile is long past
    assert desk.count("timeout") == 0
    await desk.supervisor.stop()


async def test_one_bad_answer_is_survived(desk: Desk) -> None:
    """While the one before it may still be acted on, nothing changes."""
    await desk.passes_until(lambda: desk.decider == MODEL)
    break_model(desk.folder, ModelFault.GARBAGE)
    bad = desk.count("invalid")
    await desk.passes_until(lambda: desk.count("invalid") > bad)
    repair_model(desk.folder)
    good = desk.count("ok")
    await desk.passes_until(lambda: desk.count("ok") >= good + 4)
    assert desk.decider == MODEL


async def test_the_model_dies_with_the_signals(desk: Desk) -> None:
    """An ordered restart of the component gives a new process, which proves itself again."""
    await desk.passes_until(lambda: desk.decider == MODEL)
    first = desk.source.pid
    assert first is not None
    await desk.supervisor.restart("signals", within=5)
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    await desk.pass_()
    await desk.pass_()
    assert desk.decider == SOURCE
    await desk.passes_until(lambda: desk.decider == MODEL)


async def test_records_that_are_away_cost_no_pass(desk: Desk) -> None:
    """A change is reported when they are back; until then passes continue."""
    desk.store_is_down = True
    await desk.passes_until(lambda: desk.decider == MODEL)
    await desk.pass_()
    assert desk.events == []
    desk.store_is_down = False
    await until(lambda: desk.events)
    assert [event.code for event in desk.events] == ["model_decides"]


ALONE = msgspec.structs.replace(SETTINGS, fallback=False, max_restarts=2)


async def test_without_a_fallback_a_failed_model_decides_nothing(
    metrics: BotMetrics, tmp_path: Path
) -> None:
    """Passes continue and hold what they hold; nothing tells of a fallback, nor of the averages."""
    desk = Desk(metrics, tmp_path, ALONE)
    desk.supervisor.start()
    assert await desk.pass_() == {SYMBOL: Target.UNKNOWN, ETH: Target.UNKNOWN}
    await desk.passes_until(lambda: desk.decider == MODEL)
    break_model(tmp_path, ModelFault.CRASH)
    await desk.passes_until(lambda: desk.decider == "")
    assert await desk.pass_() == {SYMBOL: Target.UNKNOWN, ETH: Target.UNKNOWN}
    assert desk.signals.detail.startswith("no source decides: ")
    await until(
        lambda: [event.code for event in desk.events] == ["model_decides", "no_source_decides"]
    )
    sample = metrics.registry.get_sample_value
    assert sample("trading_signal_fallback_active") is None
    assert not sample("trading_signal_fallbacks_total", {"source": MODEL})
    ok = {"source": SOURCE, "outcome": "ok"}
    assert not sample("trading_signals_total", ok)
    assert not sample("trading_signal_timestamp_seconds", {"source": SOURCE})
    await desk.supervisor.stop()


async def test_a_model_is_given_up_until_the_signals_are_restarted(
    metrics: BotMetrics, tmp_path: Path
) -> None:
    """After so many new starts without success; that it would be healthy again helps no one."""
    desk = Desk(metrics, tmp_path, ALONE)
    desk.supervisor.start()
    await desk.passes_until(lambda: desk.decider == MODEL)
    break_model(tmp_path, ModelFault.CRASH)
    await desk.passes_until(lambda: "gave up after 2 restarts" in desk.signals.detail)
    repair_model(tmp_path)
    asked = desk.count("ok") + desk.count("failed")
    for _ in range(10):
        await desk.pass_()
    assert desk.source.pid is None
    assert desk.count("ok") + desk.count("failed") == asked
    await desk.supervisor.restart("signals", within=5)
    await desk.passes_until(lambda: desk.decider == MODEL)
    await desk.supervisor.stop()


async def test_a_model_that_came_back_has_all_its_new_starts_again(
    metrics: BotMetrics, tmp_path: Path
) -> None:
    """Only those in a row count: one that dies now and then is never given up."""
    desk = Desk(metrics, tmp_path, ALONE)
    desk.supervisor.start()
    await desk.passes_until(lambda: desk.decider == MODEL)
    for _ in range(3):
        assert desk.source.pid is not None
        os.kill(desk.source.pid, signal.SIGKILL)
        good = desk.count("ok") + 2 * ALONE.recover_after
        await desk.passes_until(lambda good=good: desk.count("ok") >= good)  # type: ignore[misc]
    await desk.supervisor.stop()
