"""Success is the query holding on fresh samples, and nothing else that looks like it."""

from typing import Any

import pytest

from tests.fakes import FakeWorld
from tests.service.reconciler.conftest import Running, Start, give_little_time
from tests.waiting import eventually
from trading_ops.config.settings import Settings


async def first_attempt(running: Running) -> dict[str, Any] | None:
    """Return the first attempt once it was verified, or was not."""
    if await running.incident() is None:
        return None
    attempts: list[dict[str, Any]] = (await running.timeline())["attempts"]
    ended = attempts and attempts[0]["state"] in {"verified", "unverified"}
    return attempts[0] if ended else None


async def test_what_the_target_says_itself_is_no_success(
    start: Start, world: FakeWorld, settings: Settings
) -> None:
    """The command succeeded, and the symptom stays."""
    give_little_time(settings, "reconnect_broker")
    world.fixed_by = frozenset()
    async with start() as running:
        await running.break_it()
        attempt = await eventually(lambda: first_attempt(running))
    assert attempt["state"] == "unverified"
    assert "the query does not hold" in attempt["detail"]


@pytest.mark.parametrize(
    ("field", "value", "detail"),
    [
        pytest.param("prometheus_down", True, "Prometheus query failed", id="unreachable"),
        pytest.param("scrapes", False, "no sample is newer than the attempt", id="old samples"),
    ],
)
async def test_not_to_know_is_no_success(
    start: Start, world: FakeWorld, settings: Settings, field: str, value: object, detail: str
) -> None:
    """It is remediated, but no one can tell by fresh samples: the attempt is not verified."""
    give_little_time(settings, "reconnect_broker")
    world.sees_command = lambda _name: setattr(world, field, value)
    async with start() as running:
        await running.break_it()
        attempt = await eventually(lambda: first_attempt(running))
        world.sees_command, world.prometheus_down = None, False
        closed = await eventually(running.closed)
    assert attempt["state"] == "unverified"
    assert detail in attempt["detail"]
    assert closed["close_reason"] == "resolved"
    assert world.commands == ["reconnect_broker"]
