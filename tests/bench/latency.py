"""Seconds from webhook to `started`, and of the API's answers at 200 requests a second.

The reconciler is a process of its own. Bots fail one after another and are remediated: at a steady
rate, or back to back, which is all that the reconciler can do. Run by `make bench`.
"""

import asyncio
import itertools
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from sqlalchemy import select

from tests.bench.say import p50_p99, say
from tests.crash.fork_server import server
from tests.crash.load import WEBHOOK
from tests.crash.rounds import lay_out
from tests.crash.services import Episode, World, alert_of
from tests.free_ports import free_port
from trading_ops.config.loading import load_settings
from trading_ops.store.engine import reading_engine
from trading_ops.store.tables import attempts, incidents

BOTS = 12
EPISODES = 200
REQUESTS_A_SECOND = 200
API_SECONDS = 20.0
PATHS = ("/api/v1/incidents?limit=20", "/api/v1/status", "/api/v1/attempts?limit=20")


async def recover(world: World, session: aiohttp.ClientSession, url: str, rate: float) -> float:
    """Let one bot after another fail, send the webhook, and wait until it is remediated.

    Args:
        world: the bots.
        session: for the webhooks.
        url: of the reconciler.
        rate: incidents a second at most.

    Returns:
        Incidents remediated per second.
    """
    headers = {"Authorization": "Bearer webhook"}
    began = time.perf_counter()
    for number in range(1, EPISODES + 1):
        await asyncio.sleep(began + (number - 1) / rate - time.perf_counter())
        episode = Episode(
            number=number,
            bot=world.bots[number % BOTS],
            alert="Stuck",
            fixed_by=frozenset({"restart_component"}),
        )
        world.fall_ill(episode)
        body = {"version": "4", "status": "firing", "alerts": [alert_of(episode.labels)]}
        async with session.post(url + WEBHOOK, json=body, headers=headers) as response:
            assert response.status == 200, response.status
        while episode.firing:  # noqa: ASYNC110 - time is what ends it
            await asyncio.sleep(0.005)
    return EPISODES / (time.perf_counter() - began)


async def ask(session: aiohttp.ClientSession, url: str) -> tuple[list[float], int]:
    """Ask at a steady rate, whatever the answers take; return latencies and failures."""
    headers = {"Authorization": "Bearer operator"}
    latencies: list[float] = []
    failed = 0

    async def send(path: str, due: float) -> None:
        nonlocal failed
        await asyncio.sleep(due - time.perf_counter())
        async with session.get(url + path, headers=headers) as response:
            await response.read()
        latencies.append(time.perf_counter() - due)
        failed += response.status != 200

    began = time.perf_counter()
    paths = itertools.cycle(PATHS)
    count = int(REQUESTS_A_SECOND * API_SECONDS)
    await asyncio.gather(
        *(send(next(paths), began + number / REQUESTS_A_SECOND) for number in range(count))
    )
    return latencies, failed


def started_after(url: str) -> list[float]:
    """Return the seconds from each webhook to its `started`, as the database has them."""
    engine = reading_engine(url)
    statement = select(incidents.c.received_at, attempts.c.started_at).join(
        attempts, attempts.c.incident_id == incidents.c.id
    )
    with engine.connect() as connection:
        rows = connection.execute(statement).all()
    engine.dispose()
    return [(row.started_at - row.received_at).total_seconds() for row in rows]


@dataclass(frozen=True)
class Load:
    """What happens at the same time."""

    name: str
    rate: float | None
    """Incidents a second; None: none."""

    api: bool
    """Whether the API is asked."""


LOADS = (
    Load("incidents back to back", rate=math.inf, api=False),
    Load("API", rate=None, api=True),
    Load("API, 5 incidents/s", rate=5.0, api=True),
    Load("API, incidents back to back", rate=math.inf, api=True),
)


async def measure(load: Load) -> None:
    """Print one row."""
    webhook = api = ""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "installation"
        world = World(BOTS, 1)
        await world.start()
        port = free_port()
        lay_out(folder, world, port, "audit")
        world.begin(folder)
        environ = {"TRADING_OPS_VAR": str(folder / "var")}
        url = f"http://127.0.0.1:{port}"
        async with server() as lives, aiohttp.ClientSession() as session:
            life = await lives.begin({"folder": str(folder), "environ": environ})
            await asyncio.sleep(2)
            async with asyncio.TaskGroup() as both:
                if load.rate is not None:
                    remediation = both.create_task(recover(world, session, url, load.rate))
                if load.api:
                    latencies, failed = await ask(session, url)
                    p50, p99 = p50_p99(latencies)
                    api = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, failed {failed}"
            await life.end()
        await world.stop()
        if load.rate is not None:
            p50, p99 = p50_p99(started_after(load_settings(folder, environ).database_url))
            webhook = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, {remediation.result():.1f}/s"
    say(f"{load.name:<28} {webhook:<36} {api}".rstrip())


async def main() -> None:
    """Print each load."""
    say(f"{'load':<28} {'webhook → started, incidents':<36} API at {REQUESTS_A_SECOND} requests/s")
    for load in LOADS:
        await measure(load)


if __name__ == "__main__":
    asyncio.run(main())
