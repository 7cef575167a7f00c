"""A share of the bodies through a real reconciler over HTTP: none is lost, whatever it is."""

import asyncio
import json
import random
import tempfile
from collections import Counter
from pathlib import Path

import aiohttp
from sqlalchemy import func, select

from tests.bench.installation import install, settings_of
from tests.free_ports import free_port
from tests.fuzz.payloads import payload
from trading_ops import clock
from trading_ops.app import process as app
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import Kind
from trading_ops.store.engine import reading_engine
from trading_ops.store.tables import notifications

WEBHOOK = "/api/v1/webhook/alertmanager"
SENDERS = 8
APART_SECONDS = 120.0


async def run(count: int, seed: int) -> list[str]:
    """Send so many bodies; return what went wrong."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        install(folder, sources_port=free_port())
        settings = settings_of(folder)
        registry = load_targets(settings.targets_file)
        url = f"http://{registry.one(Kind.RECONCILER).address}"
        stop = asyncio.Event()
        serving = asyncio.create_task(app.serve(settings, registry, stop))
        try:
            await answers(url, serving)
            counted = await _send_all(url, count, seed)
            left = await _taken_apart(settings)
        finally:
            stop.set()
            await serving
        return _found(settings, counted, left)


async def answers(url: str, serving: asyncio.Task[None]) -> None:
    async with aiohttp.ClientSession() as session:
        while not serving.done():
            try:
                async with session.get(url + "/-/healthy"):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
    serving.result()


async def _send_all(url: str, count: int, seed: int) -> Counter[int]:
    answers: Counter[int] = Counter()
    headers = {"Authorization": "Bearer webhook"}
    numbers = iter(range(count))

    async def send(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            body = payload(random.Random(seed * 1_000_003 + number))
            async with session.post(url + WEBHOOK, data=body, headers=headers) as response:
                await response.read()
                answers[response.status] += 1

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(send(session) for _ in range(SENDERS)))
    return answers


async def _taken_apart(settings: Settings) -> int:
    until = clock.monotonic() + APART_SECONDS
    engine = reading_engine(settings.database_url)
    statement = select(func.count()).where(notifications.c.state == "pending")
    left = 1
    while left and clock.monotonic() < until:
        await asyncio.sleep(0.2)
        with engine.connect() as connection:
            left = connection.execute(statement).scalar_one()
    engine.dispose()
    return left


def _found(settings: Settings, answers: Counter[int], left: int) -> list[str]:
    engine = reading_engine(settings.database_url)
    states: Counter[str] = Counter()
    with engine.connect() as connection:
        states.update(connection.execute(select(notifications.c.state)).scalars())
    engine.dispose()
    found = [
        f"{count} bodies were answered {status}"
        for status, count in answers.items()
        if status not in (200, 503)
    ]
    if states.total() != answers[200]:
        found.append(f"{answers[200]} were answered 200, {states.total()} are stored")
    if left:
        found.append(f"{left} were never taken apart")
    if not states["parsed"] or not states["quarantined"]:
        found.append(f"the bodies were all of one sort: {json.dumps(states)}")
    return found
