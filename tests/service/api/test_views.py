"""What the API shows: pages, filters, health of the parts, alerts, counts."""

import asyncio
import threading
from typing import Any
from urllib.parse import quote

import pytest

from tests.fakes import FakeWorld
from tests.service.api.conftest import ask
from tests.service.reconciler.conftest import Running, Start
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.api import health
from trading_ops.domain.attempt import DeliverySemantics
from trading_ops.store import events
from trading_ops.store.search import PagePosition, read_position


async def storm(running: Running, count: int) -> None:
    """Open so many incidents, each of another bot that is not registered."""
    alerts = []
    for number in range(count):
        running.world.labels["bot"] = f"bot-{number}"
        alerts.append(running.world.alert())
    assert await running.notify(*alerts) == 200

    async def opened() -> bool:
        found = await running.call("GET", "/api/v1/incidents?limit=1000")
        return len(found["incidents"]) == count

    await eventually(opened)


async def pages(running: Running, path: str, key: str, cursor: str) -> list[Any]:
    """Return everything, page by page."""
    found: list[Any] = []
    after = ""
    while True:
        page = await running.call("GET", f"{path}{after}")
        found += page[key]
        if page["next"] is None:
            return found
        assert page[key]
        after = f"&{cursor}={quote(str(page['next']))}"


async def test_pages_hold_everything_once(start: Start, database_url: str) -> None:
    """Incidents of one moment, events up and down, alerts' history: nothing twice or left out."""
    assert database_url
    async with start() as running:
        await storm(running, 25)
        for path, key, cursor, count in (
            ("/api/v1/incidents?limit=4", "incidents", "cursor", 25),
            ("/api/v1/incidents?limit=25", "incidents", "cursor", 25),
            ("/api/v1/alerts/BotSick/history?limit=10", "incidents", "cursor", 25),
            ("/api/v1/events?limit=7&kind=opened", "events", "before", 25),
        ):
            found = await pages(running, path, key, cursor)
            ids = [item.get("id") or item["seq"] for item in found]
            assert len(ids) == len(set(ids)) == count, path
        up: list[int] = []
        after: int | None = 0
        while after is not None:
            path = f"/api/v1/events?kind=opened&limit=7&after={after}"
            page = await running.call("GET", path)
            up += [event["seq"] for event in page["events"]]
            after = page["next"]
        assert len(up) == 25
        assert up == sorted(up)


async def test_attempts_are_found(start: Start, world: FakeWorld, database_url: str) -> None:
    """By incident, target, action, state and time; and one alone with its events."""
    assert database_url
    async with start() as running:
        await running.break_it()
        incident = await eventually(running.closed)
        for query, count in (
            ("", 1),
            (f"incident={incident['id']}", 1),
            ("incident=other", 0),
            ("target=alpha&action=reconnect_broker&state=verified", 1),
            ("state=failed", 0),
            ("action=restart_bot", 0),
            ("since=0&until=4000000000", 1),
            ("until=0", 0),
        ):
            found = (await running.call("GET", f"/api/v1/attempts?{query}"))["attempts"]
            assert len(found) == count, query
        attempts = (await running.call("GET", "/api/v1/attempts"))["attempts"]
        shown = await running.call("GET", f"/api/v1/attempts/{attempts[0]['id']}")
        assert shown["attempt"] == attempts[0]
        assert shown["events"][0]["kind"] == "started"
        assert (await ask(running, "GET", "/api/v1/attempts/nothing"))[0] == 404
    assert world.commands == ["reconnect_broker"]


async def test_events_are_filtered_and_counted(
    start: Start, world: FakeWorld, database_url: str
) -> None:
    """By what, whom and when; counted by kind and by the machine's own reason."""
    assert database_url
    async with start() as running:
        await running.call("POST", "/api/v1/pause", json={"reason": "mine", "seconds": 1})
        await running.call("DELETE", "/api/v1/pause")
        await running.break_it()
        incident = await eventually(running.closed)
        everything = (await running.call("GET", "/api/v1/events?limit=1000"))["events"]
        for query, wanted in (
            ("kind=paused", lambda event: event["kind"] == "paused"),
            ("actor=local", lambda event: event["actor"] == "local"),
            (f"incident={incident['id']}", lambda event: event["incident_id"] == incident["id"]),
            ("target=alpha", lambda event: event["incident_id"] == incident["id"]),
            ("target=beta", lambda event: False),
            ("reason=recovered", lambda event: event["reason"] == "recovered"),
            ("until=0", lambda event: False),
        ):
            found = (await running.call("GET", f"/api/v1/events?limit=1000&{query}"))["events"]
            assert found == list(filter(wanted, everything)), query
        summary = await running.call("GET", "/api/v1/events/summary")
        assert summary["total"] == len(everything)
        counts = {(count["kind"], count["reason"]): count["count"] for count in summary["counts"]}
        assert counts["paused", ""] == 1
        assert counts["opened", ""] == 1
        assert ("paused", "mine") not in counts
        old = await running.call("GET", "/api/v1/events/summary?since=0&until=1")
        assert (old["total"], old["counts"]) == (0, [])
    assert world.commands == ["reconnect_broker"]


async def test_recovery_times(start: Start, world: FakeWorld) -> None:
    """MTTA and MTTR by alert."""
    async with start() as running:
        await running.break_it()
        await eventually(running.closed)
        times = await running.call("GET", "/api/v1/recovery")
    assert [alert["alert"] for alert in times["alerts"]] == ["BotSick"]
    assert (times["total"]["incidents"], times["total"]["remediated"]) == (1, 1)
    assert times["total"]["close"]["mean_seconds"] > 0
    assert world.commands == ["reconnect_broker"]


async def test_runbooks_and_actions(start: Start) -> None:
    """The plan as values and as its author wrote it; each action with who may order it."""
    async with start() as running:
        books = (await running.call("GET", "/api/v1/runbooks"))["runbooks"]
        assert [book["alert"] for book in books] == ["BotDown", "BotSick", "PageOnly"]
        runbook = await running.call("GET", "/api/v1/runbooks/BotSick")
        assert [step["action"] for step in runbook["plan"]["steps"]] == [
            "reconnect_broker",
            "restart_bot",
        ]
        assert runbook["markdown"].startswith("---\nversion: 1\nalert: BotSick\n")
        for name in ("Nothing", "..%2F..%2Fvar%2Fsecrets%2Foperator_token", "BotSick.md"):
            assert (await ask(running, "GET", f"/api/v1/runbooks/{name}"))[0] == 404
        actions = (await running.call("GET", "/api/v1/actions"))["actions"]
        one_shots = {
            action["name"] for action in actions if action["delivery"] == DeliverySemantics.ONE_SHOT
        }
        assert one_shots == {action["name"] for action in actions if action["role"] == "admin"}
        assert "restart_bot" in one_shots
        assert all(action["summary"] for action in actions)


async def test_a_team_sees_its_own(start: Start, database_url: str) -> None:
    """Targets, incidents, attempts and alerts; a team that does not exist is an error."""
    assert database_url
    async with start(poll_interval_seconds=0.3, labels={"team": "fx", "host": "h1"}) as running:
        await running.break_it()
        await eventually(running.closed)
        for path, key in (
            ("targets", "targets"),
            ("incidents", "incidents"),
            ("attempts", "attempts"),
        ):
            everything = (await running.call("GET", f"/api/v1/{path}"))[key]
            for part in ("team=fx", "host=h1", "team=fx&host=h1"):
                found = (await running.call("GET", f"/api/v1/{path}?{part}"))[key]
                alpha = [
                    item for item in everything if "alpha" in (item.get("name"), item.get("target"))
                ]
                assert found == alpha != []
            status, body = await ask(running, "GET", f"/api/v1/{path}?team=crypto")
            assert (status, "Teams: fx" in body["detail"]) == (422, True)
        (target,) = (await running.call("GET", "/api/v1/targets?team=fx"))["targets"]
        assert (target["team"], target["host"]) == ("fx", "h1")

        running.world.labels["bot"] = "unregistered"
        await running.break_it()

        async def firing() -> bool:
            return (
                len((await running.call("GET", "/api/v1/alerts?alertname=BotSick"))["alerts"]) > 0
            )

        await eventually(firing)
        assert (await running.call("GET", "/api/v1/alerts?team=fx"))["alerts"] == []


async def test_alerts_of_the_last_look(start: Start, world: FakeWorld) -> None:
    """With what Alertmanager says, and the incident that each has become."""
    async with start(poll_interval_seconds=0.3) as running:
        world.labels["alertname"] = "PageOnly"
        await running.break_it()
        incident = await eventually(running.incident)

        async def seen() -> Any:
            page = await running.call("GET", "/api/v1/alerts?alertname=PageOnly&state=firing")
            (alert,) = page["alerts"] or [{"incident": None}]
            answered = page["alertmanager"]  # on a busy machine, not each time
            return page if alert["incident"] and answered else None

        page = await eventually(seen)
        (alert,) = page["alerts"]
        assert (alert["incident"], alert["silenced"]) == (incident["id"], False)
        assert (page["prometheus"], page["alertmanager"]) == (True, True)
        assert page["age_seconds"] < 10
        everything = await running.call("GET", "/api/v1/alerts")
        assert {alert["alertname"] for alert in everything["alerts"]} == {"Watchdog", "PageOnly"}
        first = await running.call("GET", "/api/v1/alerts?limit=1")
        second = await running.call("GET", f"/api/v1/alerts?limit=1&after={first['next']}")
        assert first["alerts"] + second["alerts"] == everything["alerts"]
        assert second["next"] is None
        assert (await running.call("GET", "/api/v1/alerts?state=pending"))["alerts"] == []
        history = await running.call("GET", "/api/v1/alerts/PageOnly/history")
        assert [incident["id"] for incident in history["incidents"]] == [incident["id"]]


async def test_health_of_every_part(start: Start, world: FakeWorld) -> None:
    """Each has its own address; the whole is as its worst part."""
    async with start(poll_interval_seconds=0.3) as running:

        async def scheduler_is_ok() -> bool:
            part = await running.call("GET", "/api/v1/health/scheduler")
            return bool(part["state"] == "ok")

        await eventually(scheduler_is_ok)
        health = await running.call("GET", "/api/v1/health")
        states = {part["name"]: part["state"] for part in health["parts"]}
        for name in ("database", "scheduler", "disk", "prometheus", "alertmanager", "venue:paper"):
            assert states[name] == "ok", health
        assert states["agent:alpha"] == health["state"] == "degraded"  # no one watches it here
        assert (await ask(running, "GET", "/api/v1/health/nothing"))[0] == 404
        world.prometheus_down = True

        async def prometheus_fails() -> bool:
            part = await running.call("GET", "/api/v1/health/prometheus")
            return bool(part["state"] == "failing")

        await eventually(prometheus_fails)
        assert (await running.call("GET", "/api/v1/health"))["state"] == "failing"
        world.prometheus_down, world.blocking = False, True

        async def venue_is_reported() -> bool:
            part = await running.call("GET", "/api/v1/health/venue:paper")
            return bool(part["state"] == "degraded" and "VenueDown" in part["detail"])

        await eventually(venue_is_reported)


async def test_health_does_not_wait_for_a_database_that_hangs(start: Start) -> None:
    """It says so, at once, and asks again in one thread only."""
    async with start() as running:
        release = threading.Event()
        reader = running.api_reader
        honest = reader.read_now

        def hang(work: Any) -> Any:
            if work is events.head:
                release.wait(20)
            return honest(work)

        reader.read_now = hang  # type: ignore[method-assign]
        try:

            async def fails() -> bool:
                began = clock.monotonic()
                part = await running.call("GET", "/api/v1/health/database")
                assert clock.monotonic() - began < 1
                return bool(part["state"] == "failing")

            await eventually(fails)
            answers = [running.call("GET", "/api/v1/health") for _ in range(50)]
            assert all(health["state"] == "failing" for health in await asyncio.gather(*answers))
        finally:
            release.set()

        async def is_well_again() -> bool:
            return bool((await running.call("GET", "/api/v1/health/database"))["state"] == "ok")

        await eventually(is_well_again)


async def test_many_ask_for_health_at_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """They share one question to the database, and all get its answer."""
    monkeypatch.setattr(health, "PROBE_SECONDS", 0.0)
    async with start() as running:
        answers = [running.call("GET", "/api/v1/health/database") for _ in range(200)]
        found = await asyncio.gather(*answers)
    assert {item["name"] for item in found} == {"database"}


async def test_a_mistake_of_ours_shows_no_traceback(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer has an id, and the log has the rest under it."""

    async with start() as running:
        honest = running.api_reader.read_now

        def broken(work: Any) -> Any:
            if work.__qualname__.startswith("EventRoutes._read_recovery"):
                raise ZeroDivisionError("a secret")
            return honest(work)

        running.api_reader.read_now = broken  # type: ignore[method-assign]
        status, problem = await ask(running, "GET", "/api/v1/recovery")
        running.api_reader.read_now = honest  # type: ignore[method-assign]
    assert (status, problem["error"]) == (500, "internal_server_error")
    assert "secret" not in problem["detail"]
    assert "Traceback" not in problem["detail"]
    key = problem["detail"].rpartition(" ")[2]
    assert key in capsys.readouterr().out


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("incidents?limit=0", "`limit` must be a whole number, at least 1 and at most 1000"),
        ("incidents?limit=1&limit=2", "`limit` is given twice"),
        ("incidents?opne=true", "unknown field `opne`"),
        ("incidents?open=maybe", "`open` must be true or false"),
        ("incidents?since=yesterday", "`since` must be a time as 2026-03-01T12:00:00Z"),
        ("incidents?since=2026-01-01T00:00:00", "`since` must be a time"),
        ("incidents?cursor=x", "`cursor` must be"),
        (f"incidents?cursor={'9' * 19}_x", "`cursor` must be"),
        ("incidents?target=%00", "`target` must be text"),
        ("incidents?target=%FF", None),
        ("attempts?state=done", "`state` must be one of abandoned, completed"),
        ("events?after=1&before=2", "`after` and `before`"),
        ("events?after=-1", "`after` must be a whole number, at least 0"),
        (f"events?after={2**63}", "`after` must be a whole number"),
        ("events/summary?since=2&until=1", "`since` must be before `until`"),
        ("events/summary?until=0001-01-01T00:00:00Z", "out of range"),
        ("pause?x=1", None),
    ],
)
async def test_a_strange_query_is_explained(start: Start, query: str, message: str | None) -> None:
    """422 naming the parameter and what it may be; what a route does not take is not looked at."""
    async with start() as running:
        status, problem = await ask(running, "GET", f"/api/v1/{query}")
    if message is None:
        assert status in {200, 422}
    else:
        assert (status, message in problem["detail"]) == (422, True), problem


@pytest.mark.parametrize("part", ["%00", "%FF", "%ED%A0%80", "%0A", "a%2Fb", "x" * 5000, "%25"])
async def test_a_strange_path_finds_nothing(start: Start, part: str) -> None:
    """404, whatever the database thinks of such a text."""
    async with start() as running:
        for path in ("incidents", "attempts", "runbooks", "health"):
            status = (await ask(running, "GET", f"/api/v1/{path}/{part}"))[0]
            assert status in {404, 400}, path


@pytest.mark.parametrize("cursor", ["", "_", "1", "_x", "a_b", "-1_x", "²_x", f"{10**18}_x"])
def test_what_is_no_cursor(cursor: str) -> None:
    """Nothing comes of it."""
    assert read_position(cursor) is None


def test_a_cursor_is_read_again() -> None:
    """To the microsecond."""
    place = PagePosition(clock.now(), "some-id_with_more")
    assert read_position(str(place)) == place


async def test_whose_an_incident_is_and_why_nothing_happens(
    start: Start, database_url: str
) -> None:
    """Paused, then someone's; nothing of those that are closed."""
    assert database_url
    async with start() as running:
        pause = {"reason": "x", "seconds": 60}
        await running.call("POST", "/api/v1/pause", json=pause)
        await running.break_it()

        async def status() -> Any:
            found = await running.call("GET", "/api/v1/incidents")
            return next(iter(found["statuses"].values()), None)

        async def paused() -> bool:
            found = await status()
            return bool(found and found["state"] == "paused" and found["until"])

        await eventually(paused)
        incident = await eventually(running.incident)
        path = f"/api/v1/incidents/{incident['id']}/acknowledge"
        await running.call("POST", path, json={"owner": "ada"})
        found = await status()
        assert (found["state"], found["owner"]) == ("acknowledged", "ada (token local)")
        assert found["until"] is None
        await running.call("DELETE", path)
        assert (await status())["state"] not in {"acknowledged", "snoozed"}
        await running.call("DELETE", "/api/v1/pause")
        assert await eventually(running.closed)
        assert await status() is None


async def test_prometheus_discovers_the_targets_over_http(start: Start) -> None:
    """As the discovery files have them."""
    async with start() as running:
        (group,) = await running.call("GET", "/api/v1/discovery/bots")
        assert group["targets"] == [running.world.address]
        assert group["labels"]["bot"] == "alpha"
        assert await running.call("GET", "/api/v1/discovery/nodes") == []
