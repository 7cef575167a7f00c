"""A real Alertmanager on a free port, with the committed configuration."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp

from tests.free_ports import free_port
from tests.rules.configuration import ALERTMANAGER, ROUTES, alertmanager_program
from tests.rules.receivers import Receivers
from trading_ops import clock

WEBHOOK_TOKEN = "a-webhook-token"
READY_WITHIN = 120.0


@dataclass(frozen=True)
class RunningAlertmanager:
    """A client of the Alertmanager under test."""

    address: str
    session: aiohttp.ClientSession

    async def post(self, labels: Mapping[str, str], *, resolved: bool = False) -> None:
        """Post one alert as Prometheus does."""
        await self.post_all([labels], resolved=resolved)

    async def post_all(
        self, alerts: Sequence[Mapping[str, str]], *, resolved: bool = False
    ) -> None:
        """Post alerts in one request."""
        now = clock.now()
        end = now if resolved else now + timedelta(minutes=4)
        posted = [
            {
                "labels": dict(labels),
                "annotations": {
                    "summary": "A summary.",
                    "description": "What <b>happened</b>.",
                    "runbook_url": f"https://runbooks.example/{labels['alertname']}.md",
                    "dashboard_url": "https://boards.example/d/overview",
                },
                "endsAt": end.isoformat(),
                "generatorURL": "https://prometheus.example/graph",
            }
            for labels in alerts
        ]
        url = f"http://{self.address}/api/v2/alerts"
        async with self.session.post(url, json=posted) as answer:
            assert answer.status == 200, await answer.text()

    async def silences(self) -> list[dict[str, Any]]:
        """Return all silences, expired ones too."""
        async with self.session.get(f"http://{self.address}/api/v2/silences") as answer:
            found: list[dict[str, Any]] = await answer.json()
        return found

    async def states(self) -> Mapping[str, str]:
        """Return `active` or `suppressed` by alert name, of everything that it holds."""
        async with self.session.get(f"http://{self.address}/api/v2/alerts") as answer:
            alerts: list[dict[str, Any]] = await answer.json()
        return {alert["labels"]["alertname"]: alert["status"]["state"] for alert in alerts}


def lay_out(folder: Path, receivers: Receivers) -> Path:
    """Copy the committed file; only the two addresses differ."""
    committed = ROUTES.read_text(encoding="utf-8")
    text = committed.replace("127.0.0.1:8431", receivers.webhook)
    text = text.replace("127.0.0.1:8451", receivers.smarthost)
    assert_only_addresses_differ(committed, text)
    secrets = folder / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "webhook_token").write_text(WEBHOOK_TOKEN, encoding="ascii")
    (folder / "templates").symlink_to(ALERTMANAGER / "templates")
    config = folder / "alertmanager.yml"
    config.write_text(text, encoding="utf-8")
    return config


def assert_only_addresses_differ(committed: str, text: str) -> None:
    """See to it that what is tried is what is shipped."""
    ours, theirs = committed.splitlines(), text.splitlines()
    changed = [old for old, new in zip(ours, theirs, strict=True) if old != new]
    allowed = ("- url: http://127.0.0.1:8431/", "smtp_smarthost: 127.0.0.1:8451")
    assert all(line.strip().startswith(allowed) for line in changed), changed


@asynccontextmanager
async def run_alertmanager(
    folder: Path,
    receivers: Receivers,
    *,
    gossip: str = "",
    peer: str = "",
) -> AsyncIterator[RunningAlertmanager]:
    """Start it, wait until it says that it is ready, and stop it at the end of the block.

    Args:
        folder: where it runs; made.
        receivers: whom it tells.
        gossip: where it listens for its cluster; empty: it is alone.
        peer: a member that it joins.
    """
    config = lay_out(folder, receivers)
    async with start_alertmanager(config, gossip=gossip, peer=peer) as running:
        yield running


@asynccontextmanager
async def start_alertmanager(
    config: Path, *, gossip: str = "", peer: str = ""
) -> AsyncIterator[RunningAlertmanager]:
    """Start it with any configuration; its data and its log are beside that."""
    folder = config.parent
    address = f"127.0.0.1:{free_port()}"
    log = folder / "alertmanager.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            alertmanager_program(),
            f"--config.file={config}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address={address}",
            f"--cluster.listen-address={gossip}",
            *([f"--cluster.peer={peer}"] if peer else []),
            stdout=output,
            stderr=output,
        )
    try:
        async with aiohttp.ClientSession() as session:
            await wait_until_ready(session, address, log)
            yield RunningAlertmanager(address, session)
    finally:
        process.terminate()
        await process.wait()


async def wait_until_ready(session: aiohttp.ClientSession, address: str, log: Path) -> None:
    """Ask it until it answers; its log is the message when it does not."""
    deadline = clock.monotonic() + READY_WITHIN
    while clock.monotonic() < deadline:
        try:
            async with session.get(f"http://{address}/-/ready") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.05)
    raise AssertionError(await asyncio.to_thread(log.read_text, encoding="utf-8"))
