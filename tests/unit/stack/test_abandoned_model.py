"""The bot is set to its model and back in every case; a new process is not taken for the old."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from tests.waiting import eventually
from trading_ops.clients.agent import BotHealth, ReportedComponent
from trading_ops.domain.target import Kind, Manager, Service, Target
from trading_ops.errors import StackError, Unreachable
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults import account as account_faults
from trading_ops_lab.faults.abandoned_model import DECIDES, GAVE_UP, SIGNALS, AbandonedModel
from trading_ops_lab.paper.bot.signals.faults import ModelFault, read_fault
from trading_ops_lab.paper.bot.signals.model import MODULE
from trading_ops_lab.paper.bot.signals.settings import Deciding, SignalSettings

ALPHA = Target(
    name="alpha",
    kind=Kind.BOT,
    address="127.0.0.1:1",
    service=Service(manager=Manager.SUPERVISOR, unit="bot-alpha"),
)
SHIPPED = {"name": "alpha", "symbols": ["BTC/USD"]}


class Stack:
    """A bot's file and folder, and a bot that reports what it was given at its last start."""

    def __init__(self, var: Path) -> None:
        """Write the file as the stack does."""
        self.settings = SimpleNamespace(var=var)
        self.file = var / "config" / "bot-alpha.json"
        self.folder = var / "bot-alpha"
        for folder in (self.file.parent, self.folder):
            folder.mkdir(parents=True)
        self.file.write_text(json.dumps(SHIPPED))
        self.started_with: list[dict[str, Any]] = []
        self.pid: int | None = os.getpid()
        self.gives_up = True
        self._answers = False

    @property
    def directory(self) -> "Stack":
        """Return itself: it is the service manager and the bot too."""
        return self

    def unit(self, target: Target) -> "Stack":
        """Return itself."""
        assert target is ALPHA
        return self

    bot = unit

    async def process(self) -> SimpleNamespace:
        """Tell of the bot's process."""
        return SimpleNamespace(pid=self.pid, incarnation="1")

    async def restart(self, **_: Any) -> None:
        """Start the bot with what its file says now; it does not answer at once."""
        self.started_with.append(json.loads(self.file.read_text()))
        self._answers = False

    async def health(self) -> BotHealth:
        """Say of the signals what the model's fault makes of them."""
        if not self._answers:
            self._answers = True
            raise Unreachable("it is starting")
        fault, _ = read_fault(self.folder)
        alone = self.started_with[-1].get("signals") == SIGNALS
        detail = "working"
        if alone:
            sick = fault is ModelFault.CRASH and self.gives_up
            detail = f"no source decides: it {GAVE_UP}" if sick else DECIDES
        return BotHealth(
            bot="alpha",
            status="ok",
            incarnation="1",
            state="active",
            components={"signals": ReportedComponent(up=True, detail=detail)},
        )


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path)


def scene(stack: Stack) -> Scene:
    return cast(Scene, stack)


def test_the_bot_takes_these_settings() -> None:
    """The model alone, given up before anyone could wait for it for long."""
    taken = msgspec.convert(SIGNALS, SignalSettings)
    assert (taken.source, taken.fallback) == (Deciding.MODEL, False)
    assert taken.max_restarts is not None


async def test_the_model_is_well_again_when_the_fault_is_in(stack: Stack) -> None:
    """What is left is that the bot gave it up; cleaning up puts the bot's file back."""
    fault = AbandonedModel()
    key = await fault.inject(scene(stack), ALPHA)
    assert key
    assert read_fault(stack.folder) == (None, 0.0)
    assert stack.started_with == [SHIPPED | {"signals": SIGNALS}]
    await fault.clean_up(scene(stack), ALPHA, key)
    assert stack.started_with[1:] == [SHIPPED]


async def test_a_model_that_is_not_given_up_leaves_nothing_behind(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drill has no key to clean up with then."""
    monkeypatch.setattr(account_faults, "WAIT_SECONDS", 0.2)
    stack.gives_up = False
    with pytest.raises(StackError, match="does not report for its signals: gave up"):
        await AbandonedModel().inject(scene(stack), ALPHA)
    assert read_fault(stack.folder) == (None, 0.0)
    assert stack.started_with[-1] == json.loads(stack.file.read_text()) == SHIPPED


@pytest.fixture
def child() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes of this one."""
    begun: list[subprocess.Popen[bytes]] = []
    yield begun
    for process in begun:
        process.kill()
        process.wait()


def begin(*arguments: str) -> subprocess.Popen[bytes]:
    """Start a process that does nothing."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *arguments])


async def test_the_witness_is_a_process_of_the_model(
    stack: Stack, child: list[subprocess.Popen[bytes]]
) -> None:
    """A child of the bot that runs the model; there was none when it was given up."""
    fault = AbandonedModel()
    child.append(begin("something.else"))
    await fault.inject(scene(stack), ALPHA)
    assert await fault.evidence(scene(stack), ALPHA, 0.0) is None
    child.append(begin(MODULE))

    async def seen() -> str | None:
        """It has no arguments for a moment after it was started."""
        return await fault.evidence(scene(stack), ALPHA, 0.0)

    assert await eventually(seen) == f"the model has a new process, {child[-1].pid}"


async def test_a_model_that_runs_on_was_not_given_up(
    stack: Stack, child: list[subprocess.Popen[bytes]]
) -> None:
    """The evidence would see it, and no fix."""
    child.append(begin(MODULE))
    with pytest.raises(StackError, match="still runs it"):
        await AbandonedModel().inject(scene(stack), ALPHA)
    assert json.loads(stack.file.read_text()) == SHIPPED
