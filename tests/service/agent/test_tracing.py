"""`trace_memory` on a real agent: it names what grows, and is never left on."""

import asyncio
import contextlib
import linecache
import re
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.free_ports import free_port
from tests.service.agent.conftest import AGENT_TOKEN, METRICS_TOKEN, Asker, Bot
from tests.waiting import eventually
from trading_ops.agent import Agent
from trading_ops.agent.tracing import tracing_commands
from trading_ops.instrument import BotMetrics


@contextlib.contextmanager
def leaking() -> Iterator[None]:
    """Keep ever more bytes, as a thread of a bot would."""
    stopping, kept = threading.Event(), []

    def leak() -> None:
        while not stopping.wait(0.001):
            kept.append(bytearray(10_000))  # the line that is to be named

    thread = threading.Thread(target=leak)
    thread.start()
    yield
    stopping.set()
    thread.join()


@pytest.fixture(autouse=True)
def _not_left_on() -> Iterator[None]:
    yield
    left_on = tracemalloc.is_tracing()
    tracemalloc.stop()
    assert not left_on


async def test_what_grows_is_named_first(ask: Asker) -> None:
    """With the file, the line, the bytes and the blocks; tracing is on meanwhile, and only then."""
    assert not tracemalloc.is_tracing()
    with leaking():
        asked = asyncio.create_task(ask.command("trace_memory", seconds="2", lines="3"))
        await eventually(tracemalloc.is_tracing)
        status, answer = await asked
    assert (status, answer["outcome"]) == (200, "succeeded")
    summary, first, *rest = answer["detail"].split("; ")
    assert re.match(r"in \d+\.\d s \+\d+ bytes in all, ", summary)
    assert "service/agent/test_tracing.py:" in first
    assert first.startswith("+")
    assert len(rest) <= 2
    assert "the line that is to be named" in linecache.getline(
        __file__, int(first.rpartition(":")[2])
    )
    assert not tracemalloc.is_tracing()


async def test_stuck_loop_can_be_traced(ask: Asker, bot: Bot) -> None:
    """The command needs nothing of the bot's loop."""
    release = bot.block()
    try:
        _, answer = await ask.command("trace_memory", seconds="1")
    finally:
        release.set()
    assert answer["outcome"] == "succeeded"


async def test_only_one_traces(ask: Asker) -> None:
    """The second is refused and leaves the first alone."""
    first = asyncio.create_task(ask.command("trace_memory", seconds="1"))
    await eventually(tracemalloc.is_tracing)
    _, second = await ask.command("trace_memory", seconds="1")
    assert (second["outcome"], "already" in second["detail"]) == ("failed", True)
    assert tracemalloc.is_tracing()
    assert (await first)[1]["outcome"] == "succeeded"


async def test_tracing_by_hand_is_left_alone(ask: Asker) -> None:
    """Anyone who started the process with tracing on keeps it."""
    tracemalloc.start()
    _, answer = await ask.command("trace_memory", seconds="1")
    assert answer["outcome"] == "failed"
    assert tracemalloc.is_tracing()
    tracemalloc.stop()


async def test_end_of_the_agent_ends_it(ask: Asker, agent: Agent) -> None:
    """A bot that stops in the middle does not go on tracing, and stops in time."""
    asked = asyncio.create_task(ask.command("trace_memory", seconds="300"))
    await eventually(tracemalloc.is_tracing)
    await asyncio.to_thread(agent.stop)
    assert not tracemalloc.is_tracing()
    _, answer = await asked
    assert (answer["outcome"], answer["detail"]) == ("failed", "interrupted: the bot is stopping")


@pytest.mark.parametrize("limit", [1, 300_000])
async def test_large_records_end_it_early(limit: int) -> None:
    """Before the first look or after it; what was traced by then is reported."""
    command = tracing_commands(asyncio.Event(), limit_bytes=limit)["trace_memory"]
    stopping, kept = threading.Event(), []

    def leak() -> None:
        while not stopping.wait(0.005):
            kept.extend([str(number) for number in range(1000, 1100)])

    thread = threading.Thread(target=leak)
    thread.start()
    try:
        async with asyncio.timeout(60):
            detail = await command.run({"seconds": "300"} if limit == 1 else {"seconds": "100"})
    finally:
        stopping.set()
        thread.join()
    assert f"cut short: the records reached {limit} bytes" in detail


@pytest.mark.parametrize(
    "params",
    [
        {"seconds": "0"},
        {"seconds": "301"},
        {"seconds": "1.5"},
        {"seconds": "-1"},
        {"seconds": "٣"},
        {"seconds": "9" * 400},
        {"lines": "21"},
        {"lines": "many"},
    ],
)
async def test_wrong_numbers_are_refused(ask: Asker, params: dict[str, str]) -> None:
    body = {"attempt_id": "1", "fence": 1, "params": params}
    status, answer = await ask.post("/commands/trace_memory", body)
    assert status == 422
    assert f"params.{next(iter(params))} must be a whole number" in answer["detail"]
    assert not tracemalloc.is_tracing()


async def test_bot_may_do_without(bot: Bot, tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """Switched off, the agent does not know the command."""
    agent = Agent(
        name="alpha",
        address=("127.0.0.1", free_port()),
        metrics=BotMetrics(version="1", mode="paper"),
        health=lambda: bot.health,
        commands={},
        state_dir=tmp_path,
        metrics_token=METRICS_TOKEN,
        agent_token=AGENT_TOKEN,
        trace_memory=False,
    )
    agent.start()
    try:
        ask = Asker(http, f"http://127.0.0.1:{agent.port}")
        status, answer = await ask.command("trace_memory")
        assert (status, "trace_memory" in answer["detail"]) == (404, False)
    finally:
        await asyncio.to_thread(agent.stop)
