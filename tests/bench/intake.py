"""How fast notifications are stored durably, on both databases.

Beside them the same server that only parses, and a bare aiohttp handler that does nothing at all.
All run in processes of their own, the load in another; the rounds alternate, so that a slow moment
of the machine hits all of them. Run by `make bench`.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.bench.say import p50_p99, say
from tests.postgres import Cluster
from trading_ops import clock
from trading_ops.api.auth import PLAIN, Authenticator, Role
from trading_ops.api.route import route
from trading_ops.api.routes import build_application
from trading_ops.api.webhook import Webhook
from trading_ops.config.settings import Settings
from trading_ops.domain.target import Registry
from trading_ops.reconciler.intake import Intake, parse_notification
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.store import migrate
from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

DURABLE = ("sqlite", "postgresql")
CONNECTIONS = 32
PATH = "/webhook"
HEADERS = {"Authorization": "Bearer webhook_token"}


def notification(alerts: int) -> bytes:
    """Return a webhook body with so many alerts, of the usual size."""
    alert: dict[str, Any] = {
        "status": "firing",
        "annotations": {"summary": "A bench alert.", "description": "x" * 200},
        "startsAt": datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
    }
    many = [
        alert | {"labels": {"alertname": "Bench", "bot": f"bot-{n}", "venue": "paper"}}
        for n in range(alerts)
    ]
    return json.dumps({"version": "4", "status": "firing", "alerts": many}).encode()


async def serve(kind: str, folder: str, url: str) -> None:
    """Serve one of them until standard input ends; print the port."""
    writer = None
    if kind in DURABLE:
        migrate.upgrade(url)
        writer = Writer(writing_engine(url))
        writer.start()
        intake = Intake(
            writer=writer,
            reader=Reader(reading_engine(url)),
            index=RunbookIndex({}, Registry(())),
            metrics=ReconcilerMetrics(),
            wake=lambda: None,
            max_unconfirmed=10**9,
        )
        post = Webhook(intake).post
    else:

        async def post(request: web.Request) -> web.Response:
            body = await request.read()
            if kind == "parsing":
                parse_notification(body)
            return web.Response(text="thanks\n")

    settings = Settings(root=Path(folder), var=Path(folder))
    settings.secrets.mkdir(exist_ok=True)
    for name in PLAIN:
        (settings.secrets / name).write_text(name, encoding="ascii")
    table = [route("POST", PATH, Role.INTAKE, "intake", post)]
    if kind == "bare":
        app = web.Application()
        app.router.add_post(PATH, post)
    else:
        app = build_application(table, Authenticator(settings))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)  # noqa: T201 - the parent reads it
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()
    if writer is not None:
        writer.stop()


@asynccontextmanager
async def running(kind: str, folder: str, url: str) -> AsyncIterator[str]:
    """Run one server in a process of its own; yield its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.intake",
        "--serve",
        kind,
        folder,
        url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    port = (await process.stdout.readline()).decode().strip()
    yield f"http://127.0.0.1:{port}{PATH}"
    process.stdin.close()
    await process.wait()


async def load(url: str, body: bytes, *, seconds: float, connections: int) -> list[float]:
    """Post for so long over so many connections; return each request's latency in seconds."""
    latencies: list[float] = []
    deadline = clock.monotonic() + seconds

    async def send_all(session: aiohttp.ClientSession) -> None:
        while clock.monotonic() < deadline:
            began = time.perf_counter()
            async with session.post(url, data=body, headers=HEADERS) as response:
                assert response.status == 200, response.status
                await response.read()
            latencies.append(time.perf_counter() - began)

    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(send_all(session) for _ in range(connections)))
    return latencies


async def measure(alerts: int, servers: dict[str, str], *, rounds: int, seconds: float) -> None:
    """Print one line for each server: requests a second, latencies, and beside the bare one."""
    body = notification(alerts)
    rates: dict[str, list[float]] = {kind: [] for kind in servers}
    latencies: dict[str, list[float]] = {kind: [] for kind in servers}
    for _ in range(rounds):
        for kind, url in servers.items():
            took = await load(url, body, seconds=seconds, connections=CONNECTIONS)
            rates[kind].append(len(took) / seconds)
            latencies[kind] += took
    for kind in servers:
        beside = {
            other: statistics.median(
                mine / theirs for mine, theirs in zip(rates[kind], rates[other], strict=True)
            )
            for other in ("parsing", "bare")
        }
        p50, p99 = p50_p99(latencies[kind])
        say(
            f"{alerts:>6}  {kind:<11} {statistics.median(rates[kind]):>7.0f}/s "
            f"{beside['parsing']:>10.2f} {beside['bare']:>8.2f} {p50:>9.1f} ms {p99:>8.1f} ms"
        )


async def main() -> None:
    """Print the table."""
    say(f"intake ({CONNECTIONS} connections, medians of 3 rounds; shares of what the others do)")
    say("alerts  server        posts  of parsing  of bare         p50         p99")
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        urls = {
            "sqlite": f"sqlite:///{folder}/bench.db",
            "postgresql": stack.enter_context(Cluster()).new_database(),
        }
        servers = {}
        for kind in (*DURABLE, "parsing", "bare"):
            (Path(folder) / kind).mkdir()
            servers[kind] = await stack.enter_async_context(
                running(kind, str(Path(folder) / kind), urls.get(kind, ""))
            )
        for alerts in (1, 10, 50):
            await measure(alerts, servers, rounds=3, seconds=2.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", nargs=3, metavar=("KIND", "FOLDER", "URL"))
    given = parser.parse_args()
    asyncio.run(serve(*given.serve) if given.serve else main())
