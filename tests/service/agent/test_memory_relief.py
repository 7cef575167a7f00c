"""`relieve_memory` on a real agent: memory is given back, or the result says that it is not."""

import gc
from collections.abc import Callable, Iterator

import pytest

from tests.service.agent.conftest import Asker, Bot
from trading_ops.agent.commands import CommandFailed
from trading_ops.agent.relief import NOISE_BYTES, relief_commands
from trading_ops.instrument import BotMetrics
from trading_ops.instrument.watchers.memory import read_uss

MEGABYTE = 1024 * 1024
GARBAGE = 48 * MEGABYTE


class Knot:
    """Refers to itself, so that only the collector frees it; in pieces as small as a bot's."""

    def __init__(self) -> None:
        self.itself = self
        self.load = [bytes(1024) for _ in range(64)]


@pytest.fixture
def uncollected() -> Iterator[None]:
    """The collector is off, as far as it runs on its own."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def uss(metrics: BotMetrics) -> float:
    return metrics.registry.get_sample_value("trading_memory_uss_bytes") or 0.0


@pytest.mark.usefixtures("uncollected")
async def test_garbage_goes_back_to_the_kernel_while_the_loop_is_stuck(
    ask: Asker, bot: Bot, metrics: BotMetrics
) -> None:
    """What the process takes is less by what was thrown away, and the metric shows it at once."""
    for _ in range(GARBAGE // (64 * 1024)):
        Knot()
    full = read_uss() or 0
    release = bot.block()
    status, reply = await ask.command("relieve_memory")
    release.set()
    assert (status, reply["outcome"]) == (200, "succeeded"), reply
    assert int(reply["detail"].split()[0]) > 0.7 * GARBAGE
    assert full - (read_uss() or full) > 0.7 * GARBAGE
    assert 0 < uss(metrics) < full - 0.7 * GARBAGE


def reading(*values: int | None) -> Callable[[], int | None]:
    left = list(values)
    return lambda: left.pop(0)


@pytest.mark.parametrize(
    "after", [100 * MEGABYTE, 101 * MEGABYTE, 100 * MEGABYTE - NOISE_BYTES + 1]
)
async def test_no_less_is_no_success(metrics: BotMetrics, after: int) -> None:
    """The caches were emptied all the same; the reading is recorded, and the runbook continues."""
    emptied: list[str] = []
    commands = relief_commands(
        metrics,
        caches=[lambda: emptied.append("quotes")],
        read=reading(100 * MEGABYTE, after),
    )
    with pytest.raises(CommandFailed, match="memory use did not drop"):
        await commands["relieve_memory"].run({})
    assert emptied == ["quotes"]
    assert uss(metrics) == after


@pytest.mark.parametrize("values", [(None, 1), (1, None)])
async def test_what_cannot_be_measured_is_not_claimed(
    metrics: BotMetrics, values: tuple[int | None, ...]
) -> None:
    """Where the kernel hides it."""
    commands = relief_commands(metrics, read=reading(*values))
    with pytest.raises(CommandFailed, match="effect is unknown"):
        await commands["relieve_memory"].run({})
