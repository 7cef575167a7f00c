"""A storm against the reconciler as a process: 10,000 alerts in one POST, 100,000 in a minute.

How long until they are acknowledged and until each has its incident, how many were lost, and how
much memory the process took at most. Run by `make bench`.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import func, select

from tests.bench.installation import install, settings_of
from tests.bench.passes import sources
from tests.bench.say import p50_p99, say
from tests.free_ports import free_port
from trading_ops.domain.alert import fingerprint_of
from trading_ops.store.engine import reading_engine
from trading_ops.store.tables import incidents, notifications

WEBHOOK = "/api/v1/webhook/alertmanager"
HEADERS = {"Authorization": "Bearer webhook"}
AT_ONCE = 10_000
IN_A_MINUTE = 100_000
IN_A_POST = 20
MINUTE_SECONDS = 60.0
APART_SECONDS = 300.0


def body_of(first: int, count: int, name: str) -> bytes:
    """Return a notification of so many alerts, each of another bot."""
    alerts: list[dict[str, Any]] = []
    for number in range(first, first + count):
        labels = {
            "alertname": name,
            "bot": f"bot-{number}",
            "venue": "paper",
            "severity": "warning",
            "page_after": "15m",
        }
        alerts.append(
            {
                "status": "firing",
                "labels": labels,
                "annotations": {"summary": "A bench alert.", "description": "x" * 200},
                "startsAt": "2026-01-01T00:00:00Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://127.0.0.1:9090/graph?g0.expr=up",
                "fingerprint": fingerprint_of(labels),
            }
        )
    return json.dumps({"version": "4", "status": "firing", "alerts": alerts}).encode()


@asynccontextmanager
async def reconciler(
    folder: Path, port: int, sources_port: int, **environ: str
) -> AsyncIterator[int]:
    """Run it as in production; yield its process id."""
    install(folder, sources_port=sources_port, port=port)
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "trading_ops.app"),
            env={
                "PATH": os.defpath,
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "TRADING_OPS_ROOT": str(folder),
                "TRADING_OPS_UNCONFIRMED_INCIDENTS": "1000000000",
                **environ,
            },
            stderr=log,
        )
    try:
        await _answers(f"http://127.0.0.1:{port}/-/healthy")
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


async def _answers(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(600):
            try:
                async with session.get(url):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
    raise RuntimeError("the reconciler did not come up: see its log")


def peak_mib(pid: int) -> float:
    """Return the most memory that a process ever had, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel does not tell the peak of memory")


async def opened(folder: Path, name: str, wanted: int) -> int:
    """Wait until so many incidents were opened and nothing waits; return how many there are."""
    engine = reading_engine(settings_of(folder).database_url)
    count = select(func.count()).select_from(incidents).where(incidents.c.alert == name)
    pending = select(func.count()).where(notifications.c.state == "pending")
    until = time.monotonic() + APART_SECONDS
    try:
        while True:
            with engine.connect() as connection:
                found = int(connection.execute(count).scalar_one())
                waiting = connection.execute(pending).scalar_one()
            if (found >= wanted and not waiting) or time.monotonic() > until:
                return found
            await asyncio.sleep(0.1)
    finally:
        engine.dispose()


async def one_post(session: aiohttp.ClientSession, url: str, folder: Path, pid: int) -> None:
    """Print how one POST of ten thousand alerts fares."""
    body = body_of(0, AT_ONCE, "AtOnce")
    began = time.perf_counter()
    async with session.post(url, data=body, headers=HEADERS) as response:
        await response.read()
        status = response.status
    answered = time.perf_counter() - began
    found = await opened(folder, "AtOnce", AT_ONCE)
    say(
        f"one POST of {AT_ONCE} alerts ({len(body) / 1e6:.1f} MB): {status} after "
        f"{answered:.2f} s, all taken apart after {time.perf_counter() - began:.1f} s, "
        f"lost {AT_ONCE - found}, peak {peak_mib(pid):.0f} MiB"
    )


async def a_minute(session: aiohttp.ClientSession, url: str, folder: Path, pid: int) -> None:
    """Print how a hundred thousand alerts in a minute fare."""
    posts = IN_A_MINUTE // IN_A_POST
    bodies = [body_of(number * IN_A_POST, IN_A_POST, "InAMinute") for number in range(posts)]
    latencies: list[float] = []
    answers: Counter[int] = Counter()

    async def post(number: int, due: float) -> None:
        await asyncio.sleep(due - time.perf_counter())
        while True:  # as Alertmanager does: a 503 is tried again
            sent = time.perf_counter()
            async with session.post(url, data=bodies[number], headers=HEADERS) as response:
                await response.read()
            latencies.append(time.perf_counter() - sent)
            answers[response.status] += 1
            if response.status == 200:
                return
            await asyncio.sleep(0.5)

    began = time.perf_counter()
    step = MINUTE_SECONDS / posts
    await asyncio.gather(*(post(number, began + number * step) for number in range(posts)))
    sent = time.perf_counter() - began
    found = await opened(folder, "InAMinute", IN_A_MINUTE)
    p50, p99 = p50_p99(latencies)
    say(
        f"{IN_A_MINUTE} alerts in {sent:.0f} s ({IN_A_POST} a POST): {dict(answers)}, "
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, all taken apart after "
        f"{time.perf_counter() - began:.0f} s, lost {IN_A_MINUTE - found}, "
        f"peak {peak_mib(pid):.0f} MiB"
    )


async def main() -> None:
    """Print both."""
    for part in (one_post, a_minute):
        with tempfile.TemporaryDirectory() as name:
            port = free_port()
            async with (
                sources(0) as sources_port,
                reconciler(Path(name), port, sources_port) as pid,
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
            ):
                await part(session, f"http://127.0.0.1:{port}{WEBHOOK}", Path(name), pid)


if __name__ == "__main__":
    asyncio.run(main())
