"""What a pass and a poll cost with many open incidents: processor time of the whole process.

The reconciler is built as in production, on a real database; Prometheus and Alertmanager are
played by another process, whose answers name every open alert. Run by `make bench`.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.bench.installation import install, settings_of
from tests.bench.say import say
from tests.builders import WATCHDOG
from trading_ops import clock, logs
from trading_ops.app.build import build
from trading_ops.config.targets import load_targets
from trading_ops.domain.alert import fingerprint_of
from trading_ops.reconciler.loop import Loop

OPEN = (10, 1_000, 10_000)
POLL_SECONDS = 15.0
"""The default interval: what a poll costs is given as a share of it."""

QUIET_PASSES = 3
"""So many in which nothing was decided, and all is settled."""

LONG_AGO = "2026-01-01T00:00:00Z"


def labels(number: int) -> dict[str, str]:
    """Return the labels of one page-only alert, so that no action runs."""
    return {
        "alertname": "PageOnly",
        "bot": f"bot-{number}",
        "venue": "paper",
        "severity": "critical",
        "page_after": "5m",
        "strategy": "sma_cross",
        "instance": f"127.0.0.1:{number}",
    }


def routed(number: int) -> dict[str, Any]:
    """Return the alert as a webhook and as Alertmanager have it."""
    own = labels(number)
    return {
        "status": "firing",
        "labels": own,
        "annotations": {"summary": "A bench alert.", "description": "x" * 200},
        "startsAt": LONG_AGO,
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": fingerprint_of(own),
    }


async def serve_sources(count: int) -> None:
    """Answer as Prometheus and Alertmanager with so many alerts, until standard input ends."""
    rules = [
        {
            "labels": alert_labels,
            "annotations": {},
            "state": "firing",
            "activeAt": LONG_AGO,
            "value": "1",
        }
        for alert_labels in (WATCHDOG, *map(labels, range(count)))
    ]
    status = {"state": "active", "silencedBy": [], "inhibitedBy": []}
    ends = (clock.now() + timedelta(hours=1)).isoformat()
    answers = {
        "/api/v1/alerts": {"status": "success", "data": {"alerts": rules}},
        "/api/v1/status/runtimeinfo": {"data": {"startTime": LONG_AGO}},
        "/api/v1/query": {"data": {"resultType": "vector", "result": []}},
        "/api/v2/alerts": [
            routed(number) | {"endsAt": ends, "status": status} for number in range(count)
        ],
    }
    bodies = {path: json.dumps(answer).encode() for path, answer in answers.items()}

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=bodies[request.path], content_type="application/json")

    app = web.Application()
    app.add_routes([web.get(path, answer) for path in bodies])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    for host in ("127.0.0.2", "127.0.0.3"):
        await web.TCPSite(runner, host, port).start()
    say(str(port))
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


@asynccontextmanager
async def sources(count: int) -> AsyncIterator[int]:
    """Run the sources in a process of their own; yield the port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.bench.passes", "--sources", str(count)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    yield int(await process.stdout.readline())
    process.stdin.close()
    await process.wait()


async def fill(loop: Loop, count: int) -> None:
    """Have so many incidents opened and looked at once."""
    for begin in range(0, count, 500):
        alerts = [routed(number) for number in range(begin, min(begin + 500, count))]
        body = json.dumps({"version": "4", "status": "firing", "alerts": alerts}).encode()
        await loop.intake.store(body, clock.now())
    await loop.leases.begin()
    quiet = 0
    while quiet < QUIET_PASSES or len(loop.state.by_id) < count:
        head = loop.state.head
        await loop.make_pass(poll=True)
        quiet = quiet + 1 if loop.state.head == head else 0


async def processor_seconds(work: Callable[[], Awaitable[Any]], times: int) -> float:
    """Return the mean processor time of all threads that one call costs."""
    began = time.process_time()
    for _ in range(times):
        await work()
    return (time.process_time() - began) / times


async def one_more(loop: Loop) -> None:
    """Store an alert that is known already, and make the pass that this asks for."""
    body = json.dumps({"version": "4", "status": "firing", "alerts": [routed(0)]}).encode()
    await loop.intake.store(body, clock.now())
    await loop.make_pass(poll=False)


async def measure(count: int, port: int) -> None:
    """Print one line of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install(folder, sources_port=port)
        settings = settings_of(folder)
        async with build(settings, load_targets(settings.targets_file)) as reconciler:
            loop = reconciler.loop
            began = time.process_time()
            await fill(loop, count)
            filled = time.process_time() - began
            times = 5 if count > 1000 else 30
            idle = await processor_seconds(lambda: loop.make_pass(poll=False), times)
            changed = await processor_seconds(lambda: one_more(loop), times)
            poll = await processor_seconds(lambda: loop.make_pass(poll=True), times)
    say(
        f"{count:>7} {idle * 1000:>12.2f} ms {changed * 1000:>12.2f} ms {poll * 1000:>10.1f} ms "
        f"{poll / POLL_SECONDS:>9.2%} {filled:>10.2f} s"
    )


async def main() -> None:
    """Print the table."""
    logs.configure("bench", level="WARNING")
    say(f"processor time with open incidents (a poll each {POLL_SECONDS:g} s)")
    say("   open    idle pass     pass, one alert         poll   of a core  opening all")
    for count in OPEN:
        async with sources(count) as port:
            await measure(count, port)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=int, metavar="ALERTS")
    given = parser.parse_args()
    asyncio.run(main() if given.sources is None else serve_sources(given.sources))
