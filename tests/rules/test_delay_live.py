"""The delay before paging, on a real Prometheus and Alertmanager and without a reconciler.

Rules and routes are the committed ones; only the delay is shorter. A fault is an alert that a rule
of this test raises while a bot says so.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.free_ports import free_port
from tests.rules.receivers import Mail, Receivers, run_receivers
from tests.rules.running_alertmanager import run_alertmanager
from tests.rules.running_prometheus import run_prometheus
from tests.waiting import PATIENCE, eventually
from trading_ops import clock

DELAY = timedelta(seconds=20)
FAULT = "TradingTestFault"
RULES = f"""
groups:
  - name: fault
    interval: 1s
    rules:
      - alert: {FAULT}
        expr: test_fault == 1
        labels: {{severity: critical, page_after: 5m}}
"""
DEADLINE = 60.0
WITHIN = DEADLINE * PATIENCE


class Faults:
    """What a server of metrics says, and what Prometheus makes of it."""

    def __init__(self) -> None:
        self.bots: set[str] = set()
        self.prometheus = ""

    async def show(self, _request: web.Request) -> web.Response:
        """Serve the metric of each bot."""
        text = "".join(f'test_fault{{bot="{bot}",venue="paper"}} 1\n' for bot in self.bots)
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4"})

    async def firing(self) -> dict[str, datetime]:
        """Return since when each bot's alert fires."""
        url = f"http://{self.prometheus}/api/v1/alerts"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            alerts = (await answer.json())["data"]["alerts"]
        return {
            alert["labels"]["bot"]: datetime.fromisoformat(alert["activeAt"])
            for alert in alerts
            if alert["labels"]["alertname"] == FAULT
        }

    async def begin(self, bot: str) -> datetime:
        """Let a bot have the fault; return since when its alert fires."""
        self.bots.add(bot)
        since: datetime = await eventually(
            lambda: self._since(bot), within=DEADLINE, what="the alert"
        )
        return since

    async def end(self, bot: str) -> None:
        """Let it recover, and wait until its alert is resolved."""
        self.bots.discard(bot)
        await eventually(lambda: self._is_over(bot), within=DEADLINE, what="its end")

    async def _since(self, bot: str) -> datetime | None:
        return (await self.firing()).get(bot)

    async def _is_over(self, bot: str) -> bool:
        return bot not in await self.firing()


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Faults, Receivers]]:
    """Run both, with a reconciler that is dead."""
    faults = Faults()
    app = web.Application()
    app.router.add_get("/metrics", faults.show)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    try:
        async with run_receivers() as receivers:
            dead = Receivers(
                f"127.0.0.1:{free_port()}",
                receivers.smarthost,
                receivers.notifications,
                receivers.mails,
            )
            async with (
                run_alertmanager(folder / "alertmanager", dead) as alertmanager,
                run_prometheus(
                    folder / "prometheus",
                    alertmanagers=[alertmanager.address],
                    exporters=[f"127.0.0.1:{server.port}"],
                    delays={"5m": f"{DELAY.total_seconds():.0f}s"},
                    more_rules=RULES,
                ) as address,
            ):
                faults.prometheus = address
                yield faults, receivers
    finally:
        await server.close()


async def test_each_fault_has_its_own_delay(tmp_path: Path) -> None:
    """Faults that recover in time never page; the next fault of the same alert is not paged early.

    The third fault starts while the page of another bot with the same alert is open.
    """
    async with running(tmp_path) as (faults, receivers):
        longest = timedelta()
        for _ in range(3):
            began = clock.now()
            await faults.begin("alpha")
            await faults.end("alpha")
            longest = max(longest, clock.now() - began)
        fires_since = await faults.begin("alpha")
        mail = await page_of(receivers, "alpha")
        # On a machine so slow that a short fault lasted as long as the delay, it may page too.
        if longest < DELAY:
            assert clock.now() - fires_since >= DELAY
            assert mail.subject == f"[FIRING] {FAULT} bot=alpha venue=paper"

        fires_since = await faults.begin("beta")
        mail = await page_of(receivers, "beta")
        assert clock.now() - fires_since >= DELAY
        assert f"{FAULT} is still firing, bot beta" in mail.body("plain")


async def page_of(receivers: Receivers, bot: str) -> Mail:
    """Return the next mail that pages for the fault of a bot."""
    while True:
        mail = await asyncio.wait_for(receivers.mails.get(), WITHIN)
        if FAULT in mail.subject and f"bot = {bot}" in mail.body("plain"):
            return mail
