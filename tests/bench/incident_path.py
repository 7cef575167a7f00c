"""The modules of `trading_ops` that one auto-remediated incident enters, from webhook to close.

The reconciler is built as in production, in this process, beside the fake world of the tests. A
bot is killed, its alert is sent once, and a profiler records each function of the product that
runs in any thread until the incident is closed. Background work (leases, retention, silences)
counts too, because it appears in the same profile and log.
"""

import argparse
import asyncio
import contextlib
import sqlite3
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from tests.bench.installation import TOKENS
from tests.bench.say import say
from tests.builders import LABELS, make_registry
from tests.fakes import FakeWorld
from tests.waiting import eventually
from trading_ops.app.build import build
from trading_ops.config.settings import Settings
from trading_ops.store import migrate
from trading_ops.store.engine import sqlite_path

WEBHOOK = "/api/v1/webhook/alertmanager"
RECOVERED = "SELECT 1 FROM incidents WHERE close_reason = 'recovered'"
"""Read beside the store: what waits for the incident is not recorded."""

RUNBOOK = """\
---
version: 1
alert: BotDown
target: bot
steps:
  - {action: restart_bot, timeout: 60s, verify_within: 60s}
limits: {cooldown: 0s, attempts: 4, window: 1h}
verify: {query: 'up{bot="$bot"} == 1', for: 200ms}
page_after: 5m
---
# BotDown
"""


class Recorder:
    """Counts the functions of the product that are entered, in all threads."""

    def __init__(self) -> None:
        self.active = False
        self.calls: Counter[str] = Counter()
        """By module."""

        self.functions: dict[str, set[str]] = defaultdict(set)
        self.changes = 0
        """How often a thread enters another module than the one it entered last."""

        self._last: dict[int, str] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Take one event of `sys.setprofile`."""
        del argument
        if event != "call" or not self.active:
            return
        module = frame.f_globals.get("__name__", "")
        if not module.startswith("trading_ops."):
            return
        caller = frame.f_back
        if caller is not None and caller.f_globals.get("__name__", "").startswith("tests."):
            return  # the fake world
        thread = threading.get_ident()
        self.calls[module] += 1
        self.functions[module].add(frame.f_code.co_qualname)
        self.changes += self._last.get(thread, module) != module
        self._last[thread] = module


def installed(folder: Path) -> Settings:
    """Return settings of an installation in an empty folder, with a migrated database."""
    (folder / "runbooks").mkdir()
    (folder / "runbooks" / "BotDown.md").write_text(RUNBOOK, "utf-8")
    secrets = folder / "var" / "secrets"
    secrets.mkdir(parents=True)
    for name in TOKENS:
        (secrets / f"{name}_token").write_text(name, "ascii")
    (secrets / "audit_key").write_text("audit", "ascii")
    settings = Settings(root=folder, var=folder / "var", runbooks=folder / "runbooks")
    migrate.upgrade(settings.database_url)
    return settings


async def remediate(settings: Settings, recorder: Recorder) -> None:
    """Kill the bot of a fake world, send its alert, and record until the incident is closed."""
    world = FakeWorld(labels=LABELS | {"alertname": "BotDown"})
    server = world.server()
    await server.start_server()
    world.address = f"127.0.0.1:{server.port}"
    database = sqlite_path(settings.database_url)
    assert database is not None
    names = ("alpha", "supervisor", "prometheus", "alertmanager")
    registry = make_registry(**dict.fromkeys(names, world.address))
    async with (
        build(settings, registry) as reconciler,
        TestClient(TestServer(reconciler.application, host="127.0.0.1")) as client,
    ):
        working = asyncio.create_task(reconciler.loop.run())
        await eventually(lambda: reconciler.loop.snapshot)
        world.firing = recorder.active = True
        body = {
            "version": "4",
            "status": "firing",
            "receiver": "reconciler",
            "alerts": [world.alert()],
        }
        headers = {"Authorization": "Bearer webhook"}
        async with client.post(WEBHOOK, json=body, headers=headers) as response:
            assert response.status == 200, await response.text()
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader:
            await eventually(lambda: reader.execute(RECOVERED).fetchone())
        recorder.active = False
        assert world.commands == ["restart_bot"]
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    await server.close()


def main() -> None:
    """Record one incident, and print its modules."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    recorder = Recorder()
    with tempfile.TemporaryDirectory(prefix="trading-ops-path-") as name:
        settings = installed(Path(name))
        threading.setprofile(recorder)  # the store's threads start later
        sys.setprofile(recorder)
        try:
            asyncio.run(remediate(settings, recorder))
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
    for module, calls in sorted(recorder.calls.items()):
        say(f"{module:<52} {len(recorder.functions[module]):>4} functions {calls:>6} calls")
    functions = sum(map(len, recorder.functions.values()))
    say(
        f"one auto-remediated incident: {len(recorder.calls)} modules, {functions} functions, "
        f"{recorder.changes} changes of module"
    )


if __name__ == "__main__":
    main()
