"""The HTTP border: who may ask, what is refused, and that 200 means stored."""

import io
import math
from typing import Any

import pytest

from tests.fakes import FakeWorld
from tests.service.reconciler.conftest import WEBHOOK, Start
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.api.system import STUCK_SECONDS
from trading_ops.api.webhook import BODY_LIMIT_BYTES
from trading_ops.config.settings import Settings

GUARDED = [
    ("POST", WEBHOOK),
    ("GET", "/api/v1/incidents"),
    ("GET", "/api/v1/incidents/x"),
    ("GET", "/api/v1/pause"),
    ("POST", "/api/v1/pause"),
    ("DELETE", "/api/v1/pause"),
    ("POST", "/api/v1/targets/alpha/reset-budget"),
    ("POST", "/api/v1/test-alert"),
    ("DELETE", "/api/v1/test-alert"),
    ("GET", "/api/v1/status"),
    ("GET", "/metrics"),
]
WRONG = [
    {},
    {"Authorization": "Bearer "},
    {"Authorization": "Bearer nonsense"},
    {"Authorization": "Basic operator"},
    {"Authorization": "operator"},
    {"Authorization": "Bearer \udcff"},
]


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_strangers_are_refused(start: Start, method: str, path: str) -> None:
    """Every route but health wants its token, and says nothing without."""
    async with start() as running:
        for headers in WRONG:
            try:
                async with running.client.request(method, path, headers=headers) as response:
                    assert response.status == 401
            except UnicodeEncodeError:
                assert headers["Authorization"].endswith("\udcff")


@pytest.mark.parametrize("token", ["webhook", "metrics"])
async def test_a_small_token_opens_only_its_own_door(start: Start, token: str) -> None:
    """Alertmanager's and Prometheus' tokens give no orders."""
    headers = {"Authorization": f"Bearer {token}"}
    async with start() as running:
        async with running.client.get("/api/v1/incidents", headers=headers) as response:
            assert response.status == 403
        async with running.client.delete("/api/v1/pause", headers=headers) as response:
            assert response.status == 403


async def test_a_token_is_replaced_without_losing_a_notification(
    start: Start, settings: Settings, world: FakeWorld
) -> None:
    """While both lines are in the file, both are accepted; a third is not."""
    (settings.secrets / "webhook_token").write_text("fresh\nwebhook\n")
    statuses = []
    async with start() as running:
        for token in ("fresh", "webhook", "other"):
            headers = {"Authorization": f"Bearer {token}"}
            body = {"alerts": [world.alert()]}
            async with running.client.post(WEBHOOK, json=body, headers=headers) as response:
                statuses.append(response.status)
    assert statuses == [200, 200, 401]


async def test_health_needs_no_token(start: Start) -> None:
    """Supervisors and load balancers may ask."""
    async with start() as running:
        for path in ("/-/healthy", "/-/ready"):
            async with running.client.get(path) as response:
                assert response.status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"alerts": 3}',
        b'{"alerts": [{"status": "maybe", "labels": {}, "startsAt": "2026-01-01T00:00:00Z"}]}',
        b"[" * 100_000,
        b'{"alerts": [{"labels": {"a": "\\ud800"}}]}',
        b"\xff\xfe",
    ],
    ids=range(9),
)
async def test_what_cannot_be_read_is_kept_in_quarantine(start: Start, body: bytes) -> None:
    """4xx would lose it and 5xx would repeat it for ever: it is stored, counted and shown."""
    headers = {"Authorization": "Bearer webhook"}
    async with start() as running:
        async with running.client.post(WEBHOOK, data=body, headers=headers) as response:
            assert response.status == 200

        async def quarantined() -> Any:
            return (await running.call("GET", "/api/v1/status"))["notifications_quarantined"]

        assert await eventually(quarantined) == 1
        counted = await running.metric('trading_ops_notifications_total{result="quarantined"}')
    assert counted == 1


EDGES = ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"]


@pytest.mark.parametrize("moment", EDGES)
@pytest.mark.parametrize("key", ["startsAt", "endsAt"])
async def test_a_moment_beyond_the_calendar_holds_nothing_up(
    start: Start, world: FakeWorld, moment: str, key: str
) -> None:
    """It goes into quarantine, and what comes after it is taken apart; after a restart too."""
    async with start() as running:
        assert await running.notify(world.alert() | {key: moment}) == 200
        await running.break_it()
        await eventually(running.closed)
    async with start() as running:
        status = await running.call("GET", "/api/v1/status")
    assert status["notifications_waiting"] == 0
    # Year 1 as an end is Go's way to say that it has none, whatever the zone.
    is_an_end = key == "endsAt" and moment.startswith("0001")
    assert status["notifications_quarantined"] == (0 if is_an_end else 1)


async def test_ready_means_that_the_loop_comes_round(start: Start) -> None:
    """A loop that only fails is not ready, whatever the database says."""
    async with start() as running:
        async with running.client.get("/-/ready") as response:
            assert response.status == 200

        async def says_that_it_is_stuck() -> bool:
            # A pass may just have come to its end: then it is made old again.
            running.loop.passed_at = clock.monotonic() - STUCK_SECONDS - 1
            async with running.client.get("/-/ready") as response:
                text = await response.text()
                return response.status == 503 and "stalled" in text

        await eventually(says_that_it_is_stuck)


async def test_newer_alertmanagers_are_understood(start: Start, world: FakeWorld) -> None:
    """Unknown keys are ignored, nanoseconds are rounded, a missing fingerprint is computed."""
    alert = world.alert() | {"startsAt": "2026-03-01T12:00:00.123456789Z", "novel": [1, 2]}
    del alert["fingerprint"]
    body = {"alerts": [alert], "notification_reason": "first notification", "routeLabels": {}}
    headers = {"Authorization": "Bearer webhook"}
    async with start() as running:
        async with running.client.post(WEBHOOK, json=body, headers=headers) as response:
            assert response.status == 200
        incident = await eventually(running.closed)
    assert incident["starts_at"] == "2026-03-01T12:00:00.123457Z"


async def test_a_body_beyond_the_limit_is_refused(start: Start) -> None:
    """32 MiB is far beyond any storm; more is no notification."""
    headers = {"Authorization": "Bearer webhook"}
    async with (
        start() as running,
        running.client.post(
            WEBHOOK, data=io.BytesIO(b"x" * (BODY_LIMIT_BYTES + 1)), headers=headers
        ) as got,
    ):
        assert got.status == 413


async def test_a_thousand_alerts_in_one_notification(start: Start, world: FakeWorld) -> None:
    """A storm is stored at once and opens every incident; nothing is lost."""
    alerts = []
    for number in range(1000):
        world.labels["bot"] = f"bot-{number}"
        alerts.append(world.alert())
    async with start(unconfirmed_incidents=1000) as running:
        assert await running.notify(*alerts) == 200

        async def opened() -> bool:
            path = "/api/v1/incidents?limit=1000"
            return len((await running.call("GET", path))["incidents"]) == 1000

        await eventually(opened)
    assert world.commands == []


async def test_no_200_without_a_database(
    start: Start, world: FakeWorld, settings: Settings
) -> None:
    """When it cannot be stored, Alertmanager is asked to come again; then it works on its own."""
    async with start() as running:
        broken = running.loop.incident_reconciler.writer
        path = settings.var / "reconciler" / "reconciler.db"

        def drop(connection: Any) -> None:
            connection.exec_driver_sql("ALTER TABLE notifications RENAME TO away")

        def bring_back(connection: Any) -> None:
            connection.exec_driver_sql("ALTER TABLE away RENAME TO notifications")

        await broken.run(drop)
        assert path.exists()
        assert await running.notify(world.alert()) == 503
        refused = await running.metric('trading_ops_notifications_total{result="refused"}')
        await broken.run(bring_back)
        await running.break_it()
        await eventually(running.closed)
    assert refused == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "x",
        {"reason": 3, "seconds": 1},
        {"reason": "x\n", "seconds": 1},
        {"owner": "", "reason": "x", "seconds": 1},
        {"owner": "ada", "reason": "x", "seconds": 0},
        {"owner": "ada", "reason": "x", "seconds": 86401},
        {"owner": "ada", "reason": "x", "seconds": 1, "extra": 1},
    ],
)
async def test_a_pause_needs_owner_reason_and_an_end(start: Start, body: Any) -> None:
    """A pause that no one answers for, or that never ends, is refused by name."""
    headers = {"Authorization": "Bearer operator"}
    async with (
        start() as running,
        running.client.post("/api/v1/pause", json=body, headers=headers) as response,
    ):
        assert response.status == 422
        problem = await response.json()
    assert problem["error"] == "unprocessable_entity"
    assert "`" in problem["detail"] or "must be an object with owner" in problem["detail"]


@pytest.mark.parametrize("query", ["since=yesterday", "limit=many", "since=1e400", "since=null"])
async def test_bad_filters_are_explained(start: Start, query: str) -> None:
    """422 with what is expected."""
    headers = {"Authorization": "Bearer operator"}
    async with (
        start() as running,
        running.client.get(f"/api/v1/incidents?{query}", headers=headers) as response,
    ):
        assert response.status == 422


async def test_filters_and_short_ids(start: Start, world: FakeWorld) -> None:
    """Incidents are found by target, alert, time and the first letters of their id."""
    async with start() as running:
        await running.break_it()
        incident = await eventually(running.closed)
        for query, count in (
            ("target=alpha", 1),
            ("target=beta", 0),
            ("alertname=BotSick", 1),
            ("alertname=Other", 0),
            ("open=true", 0),
            ("since=0", 1),
            ("since=4000000000", 0),
        ):
            found = (await running.call("GET", f"/api/v1/incidents?{query}"))["incidents"]
            assert len(found) == count, query
        short = await running.call("GET", f"/api/v1/incidents/{incident['id'][:8]}")
        assert short["incident"]["id"] == incident["id"]
        headers = {"Authorization": "Bearer operator"}
        for key in ("nothing", "%25", "_"):
            path = f"/api/v1/incidents/{key}"
            async with running.client.get(path, headers=headers) as response:
                assert response.status == 404


async def test_a_test_alert_is_a_metric_until_it_is_ended(start: Start) -> None:
    """One at a time, each with its id."""
    async with start() as running:
        first = (await running.call("POST", "/api/v1/test-alert"))["test_id"]
        second = (await running.call("POST", "/api/v1/test-alert"))["test_id"]
        assert await running.metric(f'trading_ops_test_alert{{test_id="{second}"}}') == 1
        gone = await running.metric(f'trading_ops_test_alert{{test_id="{first}"}}')
        assert math.isnan(gone)
        await running.call("DELETE", "/api/v1/test-alert")
        ended = await running.metric(f'trading_ops_test_alert{{test_id="{second}"}}')
        assert math.isnan(ended)
