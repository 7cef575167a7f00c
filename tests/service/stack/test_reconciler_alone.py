"""`python -m trading_ops.app` without the stack, as another service manager runs it."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.free_ports import free_port
from tests.service.stack.small_processes import REPOSITORY, until
from tests.unit.stack.registries import changed, settings_in
from tests.waiting import eventually
from trading_ops.agent import Agent, Health
from trading_ops.config.secret_files import agent_token_name
from trading_ops.instrument import BotMetrics
from trading_ops_lab.supervisor.layout import lay_out

pytestmark = pytest.mark.processes


@dataclass
class Alone:
    """The process, its files and its API."""

    folder: Path
    address: str
    targets: Path
    process: asyncio.subprocess.Process

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    async def metrics(self) -> str:
        token = (self.folder / "var" / "secrets" / "metrics_token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        with contextlib.suppress(aiohttp.ClientError):
            async with aiohttp.request(
                "GET", f"http://{self.address}/metrics", headers=headers
            ) as answer:
                return await answer.text()
        return ""

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of an event."""
        lines = (line for line in self.log.splitlines() if line.startswith("{"))
        return [fields for line in lines if (fields := json.loads(line))["event"] == event]

    async def names(self) -> set[str]:
        """Return the registered targets, as the API shows them."""
        token = (self.folder / "var" / "secrets" / "operator_token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        with contextlib.suppress(aiohttp.ClientError):
            async with aiohttp.request(
                "GET", f"http://{self.address}/api/v1/targets", headers=headers
            ) as answer:
                return {target["name"] for target in (await answer.json())["targets"]}
        return set()


@contextlib.asynccontextmanager
async def alone(folder: Path, *, bot: str = "127.0.0.1:8411") -> AsyncIterator[Alone]:
    address = f"127.0.0.1:{free_port()}"
    moved = (("127.0.0.1:8431", address), ("127.0.0.1:8411", bot))
    lay_out(settings_in(folder / "var"), changed(*moved))
    targets = folder / "targets.yml"
    text = (REPOSITORY / "targets.yml").read_text()
    for before, after in moved:
        text = text.replace(before, after)
    targets.write_text(text)
    output = os.open(folder / "log", os.O_WRONLY | os.O_CREAT, 0o600)
    process = await asyncio.create_subprocess_exec(
        "env",
        f"TRADING_OPS_ROOT={REPOSITORY}",
        f"TRADING_OPS_VAR={folder / 'var'}",
        f"TRADING_OPS_TARGETS_FILE={targets}",
        sys.executable,
        "-m",
        "trading_ops.app",
        stderr=output,
        umask=0o022,
    )
    os.close(output)
    running = Alone(folder=folder, address=address, targets=targets, process=process)
    try:
        await until(lambda: "reconciler_started" in running.log)
        yield running
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def test_its_database_is_for_the_owner_only(tmp_path: Path) -> None:
    """Under an ordinary umask, other users can read none of its files."""
    async with alone(tmp_path):
        pass
    written = [path for path in (tmp_path / "var" / "reconciler").iterdir() if path.is_file()]
    assert any(path.suffix == ".db" for path in written), written
    assert [path for path in written if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


async def test_an_event_has_the_same_ids_in_both_logs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In the bot's, the reconciler's and the API's; the routine ones are in the bot's log only."""
    ids: dict[str, Any] = {"symbol": "BTC/USD", "order": "o-1", "strategy": "sma"}
    ids["correlation"] = "sma-17"
    port, state = free_port(), tmp_path / "state"
    state.mkdir()
    async with alone(tmp_path, bot=f"127.0.0.1:{port}") as running:
        secret = settings_in(tmp_path / "var").secret
        agent = Agent(
            name="alpha",
            address=("127.0.0.1", port),
            metrics=BotMetrics(version="1", mode="paper"),
            health=Health,
            commands={},
            state_dir=state,
            metrics_token=secret("metrics_token"),
            agent_token=secret(agent_token_name("alpha")),
        )
        agent.start()
        try:
            with caplog.at_level(logging.INFO):
                agent.event("trade", "bought", id="t-1", **ids)
                agent.event("risk", "too much", id="r-1", severity="warning", **ids)
            await until(lambda: bool(running.lines("bot_event_stored")))
        finally:
            agent.stop()
        (stored,) = running.lines("bot_event_stored")
    assert {name: stored[name] for name in ids} == ids
    assert (stored["bot"], stored["id"], stored["severity"]) == ("alpha", "r-1", "warning")
    reported = [vars(record) for record in caplog.records if record.message == "event_reported"]
    assert [line["id"] for line in reported] == ["t-1", "r-1"]
    for line in reported:
        assert {name: line[name] for name in ids} == ids


BOT = """
  - name: delta
    kind: bare_bot
    venue: paper
    address: 127.0.0.1:8999
"""


async def test_targets_are_reloaded_while_it_runs(tmp_path: Path) -> None:
    """A new bot is in use without a restart; an invalid file changes nothing and is reported."""
    failed = "trading_ops_targets_last_reload_successful 0.0"
    async with alone(tmp_path) as running:
        before = running.targets.read_text()
        running.targets.write_text(before + BOT)

        async def is_known() -> bool:
            discovered = tmp_path / "var" / "prometheus" / "targets" / "bots.json"
            return "delta" in await running.names() and "127.0.0.1:8999" in discovered.read_text()

        await eventually(is_known)
        assert '"added": ["delta"]' in running.log

        running.targets.write_text(before + BOT.replace("bare_bot", "no such kind"))

        async def is_refused() -> bool:
            return failed in await running.metrics()

        await eventually(is_refused)
        assert "no such kind" in running.log
        assert "delta" in await running.names()

        running.targets.write_text(before)
        running.process.send_signal(signal.SIGHUP)

        async def is_gone() -> bool:
            names = await running.names()
            return bool(names) and "delta" not in names and failed not in await running.metrics()

        await eventually(is_gone)
        assert running.process.returncode is None
    assert running.process.returncode == 0
