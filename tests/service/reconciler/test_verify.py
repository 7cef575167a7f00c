"""Success is the query holding on fresh samples, and nothing else that looks like it."""

from typing import Any

import pytest

from tests.fakes import FakeWorld
from tests.service.reconciler.conftest import RUNBOOK, Running, Start, give_little_time
from tests.waiting import eventually
from trading_ops.config.settings import Settings

FOR_A_TIME = """\
  - {action: throttle_load, with: {seconds: "300"}, timeout: 60s, verify_within: 1s}
  - {action: scale_resources, with: {resource: cpu_weight, value: "20", seconds: "300"},
     timeout: 60s, verify_within: 1s}
  - {action: reconnect_broker, timeout: 60s, verify_within: 60s}"""


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


async def test_what_did_not_help_is_undone_before_the_next_step(
    start: Start, world: FakeWorld, settings: Settings
) -> None:
    """Only the effect of the step itself: the request names the attempt to end."""
    (settings.runbooks / "BotSick.md").write_text(RUNBOOK.format(alert="BotSick", steps=FOR_A_TIME))
    world.fixed_by = frozenset({"reconnect_broker"})
    async with start() as running:
        await running.break_it()
        await eventually(running.closed)
        attempts = (await running.timeline())["attempts"]
    twice = [name for name in ("throttle_load", "scale_resources") for _ in range(2)]
    assert world.commands == [*twice, "reconnect_broker"]
    assert world.params[1] == {"seconds": "0", "undoes": attempts[0]["id"]}
    assert [attempt["state"] for attempt in attempts] == ["unverified", "unverified", "verified"]
    assert "undone" in attempts[0]["detail"]


async def test_what_helped_is_not_undone(
    start: Start, world: FakeWorld, settings: Settings
) -> None:
    """It ends at its time."""
    (settings.runbooks / "BotSick.md").write_text(RUNBOOK.format(alert="BotSick", steps=FOR_A_TIME))
    world.fixed_by = frozenset({"throttle_load"})
    async with start() as running:
        await running.break_it()
        await eventually(running.closed)
    assert world.commands == ["throttle_load"]


async def test_what_cannot_be_undone_does_not_stop_the_next_step(
    start: Start, world: FakeWorld, settings: Settings
) -> None:
    """Such as by an agent of an earlier release; the timeline has the reason."""
    (settings.runbooks / "BotSick.md").write_text(RUNBOOK.format(alert="BotSick", steps=FOR_A_TIME))
    world.fixed_by = frozenset({"reconnect_broker"})

    def fail_the_second(name: str) -> None:
        world.command_fails = name == "throttle_load" and len(world.commands) == 1

    world.sees_command = fail_the_second
    async with start() as running:
        await running.break_it()
        await eventually(running.closed)
        attempts = (await running.timeline())["attempts"]
    assert "not undone" in attempts[0]["detail"]
    assert attempts[-1]["state"] == "verified"
