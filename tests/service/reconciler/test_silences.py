"""Silences set manually, beside a running reconciler: on the bot's row and in the metrics."""

from datetime import timedelta
from typing import Any

from aiohttp import ClientSession

from tests.fakes import FakeWorld
from tests.service.reconciler.conftest import Running, Start
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.clients.http import Http
from trading_ops.clients.reconciler import ReconcilerApi
from trading_ops.domain.acknowledgement import fault_of

COVERING = 'trading_ops_silences_covering{bot="alpha"}'
TOO_WIDE = 'trading_ops_silences_too_wide{reason="targets"}'
TOO_LONG = 'trading_ops_silences_too_wide{reason="length"}'


def matcher(name: str, value: str) -> dict[str, Any]:
    """Return a matcher as Alertmanager has it."""
    return {"name": name, "value": value, "isRegex": False, "isEqual": True}


def place(world: FakeWorld, key: str, *matchers: dict[str, Any], hours: float = 1) -> float:
    """Create a silence at the fake Alertmanager; return when it ends."""
    ends = clock.now() + timedelta(hours=hours)
    world.silences.silences[key] = {
        "id": key,
        "matchers": list(matchers),
        "startsAt": (clock.now() - timedelta(seconds=1)).isoformat(),
        "endsAt": ends.isoformat(),
        "createdBy": "ada",
        "comment": "new disk",
        "status": {"state": "active"},
    }
    return ends.timestamp()


def until(world: FakeWorld) -> str:
    """Return the name of the metric that the secondary on-call obeys, for the world's alert."""
    fault = fault_of(world.labels)
    labels = ",".join(f'{name}="{value}"' for name, value in sorted(fault._asdict().items()))
    return f"trading_ops_silenced_until_timestamp_seconds{{{labels}}}"


async def is_at(running: Running, name: str, value: float) -> bool:
    return await running.metric(name) == value


async def test_a_silence_by_hand_is_shown_and_obeyed(start: Start, world: FakeWorld) -> None:
    """Shown on the bot's row with owner and comment, and to secondary on-call, while it lasts."""
    world.labels |= {"symbol": "BTC"}
    ends = place(world, "s1", matcher("alertname", "BotSick"), matcher("bot", "alpha"))
    async with start(poll_interval_seconds=0.5) as running, ClientSession() as session:
        world.firing = True
        await eventually(lambda: is_at(running, COVERING, 1), what="the silence to be shown")
        await eventually(lambda: is_at(running, until(world), ends), what="the secondary on-call")
        api = Http(session, str(running.client.make_url("")).rstrip("/"), token="operator")
        (alpha,) = [
            target for target in await ReconcilerApi(api).targets() if target.name == "alpha"
        ]
        (shown,) = alpha.silences
        assert (shown.id, shown.owner, shown.comment) == ("s1", "ada", "new disk")
        assert shown.matchers == ['alertname="BotSick"', 'bot="alpha"']
        assert world.commands == []

        world.silences.silences["s1"]["status"]["state"] = "expired"
        await eventually(lambda: is_at(running, COVERING, 0), what="the silence to be gone")
        await eventually(
            lambda: is_at(running, until(world), 0), what="the secondary on-call again"
        )


async def test_an_acknowledgement_is_not_a_silence_by_hand(start: Start, world: FakeWorld) -> None:
    """It is the reconciler's own: only an operator's silence beside it is shown."""
    async with start(poll_interval_seconds=0.5) as running, ClientSession() as session:
        await running.call(
            "POST", "/api/v1/pause", json={"owner": "ada", "reason": "test", "seconds": 600}
        )
        world.firing = True
        assert await running.notify(world.alert()) == 200
        found = await eventually(running.incident, what="an incident")
        api = Http(session, str(running.client.make_url("")).rstrip("/"), token="operator")
        await ReconcilerApi(api).acknowledge(found["id"], owner="anna")
        place(world, "s1", matcher("bot", "alpha"))
        await eventually(lambda: is_at(running, COVERING, 1), what="the person's silence")
        assert len(world.silences.active) == 2


async def test_a_silence_that_is_too_wide_is_a_metric(start: Start, world: FakeWorld) -> None:
    """Everything at once, or one bot for a week; and it ends with the silence."""
    place(world, "all", matcher("severity", "critical"))
    place(world, "long", matcher("bot", "alpha"), hours=24 * 7)
    place(world, "foreign", matcher("team", "checkout"), hours=24 * 7)
    async with start(poll_interval_seconds=0.5) as running:
        await eventually(lambda: is_at(running, TOO_WIDE, 1), what="the wide one")
        assert await running.metric(TOO_LONG) == 1
        for silence in world.silences.silences.values():
            silence["status"]["state"] = "expired"
        await eventually(lambda: is_at(running, TOO_WIDE, 0), what="its end")
        assert await running.metric(TOO_LONG) == 0
