"""Size and server time of the console's pages for 1,000 bots: `python -m tests.bench.console`.

Every page is asked for from new: what pages share for a second has run out. Prometheus and the
agents are played by the same process, so their time is in it too.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiohttp.test_utils import TestClient, TestServer

from tests.bench.installation import install, settings_of
from tests.bench.say import say
from tests.builders import make_registry, make_target
from tests.service.console.conftest import Browser, MoneyWorld
from trading_ops import clock, logs
from trading_ops.app.build import build
from trading_ops.console.reading import KEPT_SECONDS
from trading_ops.domain.target import Registry

BOTS, TIMES = 1000, 5
GOAL_MS, GOAL_BYTES = 200.0, 100_000
PAGES = ("fleet", "fleet?page=20", "bots/bot-0500", "incidents", "alerts", "events", "api")


def _money() -> Mapping[str, Sequence[tuple[dict[str, str], float]]]:
    bots = [f"bot-{number:04}" for number in range(BOTS)]
    return {
        "trading_daily_loss": [({"bot": bot, "currency": "USD"}, 120.0) for bot in bots],
        "trading_exposure": [({"bot": bot, "currency": "USD"}, 8000.0) for bot in bots],
        "limit_used_ratio": [
            ({"bot": bot, "limit": limit}, 0.4)
            for bot in bots
            for limit in ("daily_loss", "exposure")
        ],
        "heartbeat": [({"bot": bot}, clock.timestamp()) for bot in bots],
    }


async def _measure(folder: Path) -> None:
    install(folder, sources_port=1)
    async with contextlib.AsyncExitStack() as stack:
        world = MoneyWorld()
        world.money = {part: list(samples) for part, samples in _money().items()}
        server = world.server()
        await server.start_server()
        stack.push_async_callback(server.close)
        world.address = f"127.0.0.1:{server.port}"
        ours = make_registry(
            **dict.fromkeys(("alpha", "prometheus", "alertmanager"), world.address)
        )
        bots = [
            make_target(name=f"bot-{number:04}", address=world.address, service=None)
            for number in range(BOTS)
        ]
        built = build(settings_of(folder), Registry((*ours, *bots)))
        reconciler = await stack.enter_async_context(built)
        own = TestServer(reconciler.application, host="127.0.0.1")
        browser = Browser(await stack.enter_async_context(TestClient(own)))
        began = time.perf_counter()
        await browser.log_in("operator")
        say(f"login with the first page of all: {1000 * (time.perf_counter() - began):.0f} ms")
        for path in PAGES:
            took, busy = [], []
            for _ in range(TIMES):
                await asyncio.sleep(2 * KEPT_SECONDS)
                began, worked = time.perf_counter(), time.process_time()
                status, page = await browser.get(f"/console/{path}")
                took.append(1000 * (time.perf_counter() - began))
                busy.append(1000 * (time.process_time() - worked))
                if status != 200:
                    raise RuntimeError(f"{path}: {status}")
            size = len(page.encode())
            good = max(took) < GOAL_MS and size < GOAL_BYTES
            say(
                f"{path:16} median {sorted(took)[TIMES // 2]:4.0f} ms, worst {max(took):4.0f} ms, "
                f"processor {sorted(busy)[TIMES // 2]:4.0f} ms, "
                f"{size / 1000:5.1f} kB (goal {GOAL_MS:.0f} ms and {GOAL_BYTES // 1000} kB: "
                f"{'met' if good else 'MISSED'})"
            )


def main() -> None:
    """Measure and print."""
    logs.configure("bench")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure(Path(folder)))


if __name__ == "__main__":
    main()
