"""A whole reconciler, built as in production, on a real database and beside a fake world."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from msgspec.structs import replace

from tests.builders import make_registry
from tests.databases import place_database
from tests.fakes import FakeWorld
from tests.waiting import eventually
from trading_ops.app.build import build
from trading_ops.config.settings import Settings
from trading_ops.domain.target import Registry
from trading_ops.reconciler.loop import Loop
from trading_ops.store.reader import Reader

WEBHOOK = "/api/v1/webhook/alertmanager"

RUNBOOK = """\
---
version: 1
alert: {alert}
target: bot
steps:
{steps}
limits: {{cooldown: 0s, attempts: 4, window: 1h}}
unless: [VenueDown]
verify: {{query: 'up{{bot="$bot"}} == 1', for: 200ms}}
page_after: 5m
---
# {alert}
"""
RECONNECT = "  - {action: reconnect_broker, timeout: 60s, verify_within: 60s}"
RESTART = "  - {action: restart_bot, timeout: 60s, verify_within: 60s}"
PAGE_ONLY = "---\nversion: 1\nalert: PageOnly\npage_after: 0s\n---\n# PageOnly\n"


def give_little_time(settings: Settings, action: str) -> None:
    """Shorten the deadlines of an action's steps, for a test in which these must pass."""
    for book in settings.runbooks.glob("*.md"):
        text = book.read_text()
        step = f"{{action: {action}, timeout: "
        book.write_text(
            text.replace(f"{step}60s, verify_within: 60s", f"{step}2s, verify_within: 1s")
        )


class Running:
    """A running reconciler, as its clients see it."""

    def __init__(
        self, client: TestClient[Any, Any], loop: Loop, world: FakeWorld, api_reader: Reader
    ) -> None:
        self.client = client
        self.loop = loop
        self.world = world
        self.api_reader = api_reader

    async def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Ask as an operator; return the decoded answer."""
        headers = {"Authorization": "Bearer operator"}
        async with self.client.request(method, path, headers=headers, **arguments) as response:
            assert response.status < 300, await response.text()
            return json.loads(await response.read() or b"null")

    async def notify(self, *alerts: dict[str, Any]) -> int:
        """Send a notification as Alertmanager does; return the status."""
        body = {"version": "4", "status": "firing", "receiver": "reconciler", "alerts": alerts}
        headers = {"Authorization": "Bearer webhook"}
        async with self.client.post(WEBHOOK, json=body, headers=headers) as response:
            return response.status

    async def has_polled(self) -> None:
        """Wait for the poll that every start starts with, so that it does not race with a test."""
        name = 'trading_ops_poll_last_success_timestamp_seconds{source="alertmanager"}'
        await eventually(lambda: self.metric(name))

    async def break_it(self) -> None:
        """Let the alert fire and tell of it."""
        self.world.firing = True
        assert await self.notify(self.world.alert()) == 200

    async def incident(self) -> dict[str, Any] | None:
        """Return the newest incident."""
        found = (await self.call("GET", "/api/v1/incidents"))["incidents"]
        return found[0] if found else None

    async def closed(self) -> dict[str, Any] | None:
        """Return the newest incident once it is closed."""
        found = await self.incident()
        return found if found and found["closed_at"] else None

    async def timeline(self) -> dict[str, Any]:
        """Return the whole timeline of the newest incident."""
        found = await self.incident()
        assert found is not None
        timeline: dict[str, Any] = await self.call("GET", f"/api/v1/incidents/{found['id']}")
        return timeline

    async def has_event(self, kind: str, reason: str) -> bool:
        """Whether the newest incident's timeline has this event."""
        if await self.incident() is None:
            return False
        events = (await self.timeline())["events"]
        return any(event["kind"] == kind and event["reason"] == reason for event in events)

    async def metric(self, name: str) -> float:
        """Return the value of one exported sample, named as in the exposition; NaN: not there."""
        headers = {"Authorization": "Bearer metrics"}
        async with self.client.get("/metrics", headers=headers) as response:
            for line in (await response.text()).splitlines():
                if line.rpartition(" ")[0] == name:
                    return float(line.rpartition(" ")[2])
        return float("nan")


Start = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """Settings of an installation in a folder of its own, with a migrated database.

    It has SQLite; a test that uses the fixture `database_url` runs on each database in turn.
    """
    wanted = "database_url" in request.fixturenames
    url = str(request.getfixturevalue("database_url")) if wanted else "sqlite:"
    books = tmp_path / "runbooks"
    books.mkdir()
    steps = f"{RECONNECT}\n{RESTART}"
    (books / "BotSick.md").write_text(RUNBOOK.format(alert="BotSick", steps=steps))
    (books / "BotDown.md").write_text(RUNBOOK.format(alert="BotDown", steps=RESTART))
    (books / "PageOnly.md").write_text(PAGE_ONLY)
    secrets = tmp_path / "var" / "secrets"
    secrets.mkdir(parents=True)
    for name in ("agent", "supervisor", "webhook", "metrics", "operator"):
        (secrets / f"{name}_token").write_text(name)
    (secrets / "audit_key").write_text("audit")
    made = Settings(
        root=tmp_path,
        var=tmp_path / "var",
        runbooks=books,
        poll_interval_seconds=30,
        database="" if url.startswith("sqlite") else url,
    )
    if made.database_url.startswith("sqlite"):
        place_database(request.getfixturevalue("migrated_sqlite"), made.database_url)
    return made


@pytest.fixture
async def world() -> AsyncIterator[FakeWorld]:
    """The fake world, with its server running."""
    fake = FakeWorld()
    server = fake.server()
    await server.start_server()
    fake.address = f"127.0.0.1:{server.port}"
    yield fake
    await server.close()


@pytest.fixture
def start(settings: Settings, world: FakeWorld) -> Start:
    """Return a way to run a reconciler; leaving its context stops it as SIGTERM would."""

    @contextlib.asynccontextmanager
    async def run(
        *,
        killed: bool = False,
        bot: str | None = None,
        labels: Mapping[str, str] | None = None,
        **over: Any,
    ) -> AsyncIterator[Running]:
        names = ("alpha", "supervisor", "prometheus", "alertmanager")
        addresses = dict.fromkeys(names, world.address)
        if bot is not None:  # a real one, instead of the world's
            addresses["alpha"] = bot
        registry = make_registry(**addresses)
        if labels is not None:  # of the bot
            registry = Registry(
                tuple(
                    dataclasses.replace(target, labels=labels) if target.name == "alpha" else target
                    for target in registry
                )
            )
        async with build(replace(settings, **over), registry) as reconciler:
            server = TestServer(reconciler.application, host="127.0.0.1")
            looping = asyncio.create_task(reconciler.loop.run())
            async with TestClient(server) as client:
                running = Running(client, reconciler.loop, world, reconciler.api_reader)
                await running.has_polled()
                yield running
            if killed:
                # As after SIGKILL: nothing that was under way gets to write its end.
                await reconciler.loop.workers.stop(0)
            looping.cancel()
            await asyncio.gather(looping, return_exceptions=True)

    return run
