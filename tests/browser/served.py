"""A reconciler with its console in a process of its own, which a test may kill: a fleet of twelve.

`python -m tests.browser.served FOLDER PORT` serves until it is killed. What it keeps is in FOLDER,
so a second start goes on where the first one ended.
"""

import asyncio
import contextlib
import math
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.builders import WATCHDOG, make_registry, make_target
from tests.fakes import FakeWorld
from tests.service.api.conftest import everybody
from trading_ops import clock
from trading_ops.api.auth import FILE, save
from trading_ops.app.build import build
from trading_ops.bounded_site import BoundedSite
from trading_ops.config.settings import Settings
from trading_ops.domain.alert import fingerprint_of
from trading_ops.domain.target import Registry

ROOT = Path(__file__).parents[2]
HOSTILE = '"><script>window.hacked = 1</script><img src=x onerror="window.hacked = 2">'
BOTS = (
    "arb-usd", "btc-trend", "eth-trend", "grid-1", "grid-2", "hedge",
    "maker-eu", "maker-us", "mean-rev", "momentum", "pairs", "scalper",
)  # fmt: skip
DISCONNECTED, AT_LIMIT, DRIFTING = "btc-trend", "grid-2", "pairs"
LIMITS = {"loss": 2000.0, "exposure": 50000.0}


class Agent(FakeWorld):
    """One bot's agent."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    async def health(self, request: web.Request) -> web.Response:
        """GET /health of the agent."""
        broker = self.name != DISCONNECTED
        late = 42.0 if not broker else 0.4
        held = {"halt": "halted", "reduce": "reducing", "resume": "active"}
        orders = [held[command] for command in self.commands if command in held]
        return web.json_response(
            {
                "bot": self.name,
                "status": "ok" if broker else "failing",
                "incarnation": "1:1",
                "state": orders[-1] if orders else "active",
                "components": {
                    name: {"up": broker or name == "feed"} for name in ("broker", "feed", "model")
                },
                "heartbeat_at": clock.timestamp() - late,
                "events": {"journal": "j", "head": len(self.commands)},
            }
        )

    async def events(self, request: web.Request) -> web.Response:
        """GET /events of the agent: one for each command."""
        after = int(request.query["after"])
        found = [
            {
                "number": number,
                "id": f"command-{number}",
                "kind": "risk",
                "severity": "info",
                "at": clock.timestamp(),
                "summary": f"{command} was carried out",
            }
            for number, command in enumerate(self.commands, 1)
        ]
        return web.json_response({"journal": "j", "events": found[after:]})


def _alert(name: str, bot: str, severity: str, summary: str, **labels: str) -> dict[str, Any]:
    found = {"alertname": name, "bot": bot, "venue": "paper", "severity": severity, **labels}
    found |= {"page_after": "5m"}
    return {
        "labels": found,
        "annotations": {"summary": summary, "description": f"{summary} See the runbook."},
        "startsAt": (clock.now() - timedelta(minutes=6)).isoformat(),
    }


class Sources(FakeWorld):
    """Prometheus and Alertmanager for all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.alerts = [
            _alert("TradingBotBrokerDisconnected", DISCONNECTED, "critical",
                   "Bot btc-trend has no connection to its broker."),
            _alert("TradingBotDailyLossHigh", AT_LIMIT, "warning",
                   "Bot grid-2 has used most of its daily loss limit."),
            _alert("TradingBotMemoryHigh", "scalper", "info", HOSTILE, strategy=HOSTILE),
        ]  # fmt: skip

    async def rules(self, request: web.Request) -> web.Response:
        """GET /api/v1/alerts of Prometheus."""
        shown = [
            {**alert, "state": "firing", "activeAt": alert["startsAt"], "value": "1"}
            for alert in [
                *self.alerts,
                {"labels": WATCHDOG, "annotations": {}, "startsAt": "2026-01-01T00:00:00Z"},
            ]
        ]
        return web.json_response({"status": "success", "data": {"alerts": shown}})

    async def routed(self, request: web.Request) -> web.Response:
        """GET /api/v2/alerts of Alertmanager."""
        ends = (clock.now() + timedelta(minutes=4)).isoformat()
        state = {"state": "active", "silencedBy": [], "inhibitedBy": []}
        return web.json_response(
            [
                {
                    **alert,
                    "endsAt": ends,
                    "status": state,
                    "fingerprint": fingerprint_of(alert["labels"]),
                }
                for alert in self.alerts
            ]
        )

    async def query(self, request: web.Request) -> web.Response:
        """GET /api/v1/query of Prometheus."""
        found = [
            {"metric": labels, "value": [clock.timestamp(), f"{value:.2f}"]}
            for labels, value in _samples(request.query["query"])
        ]
        return web.json_response({"data": {"resultType": "vector", "result": found}})

    async def query_range(self, request: web.Request) -> web.Response:
        """GET /api/v1/query_range of Prometheus: the equity of each bot."""
        begin, end = (float(request.query[name]) for name in ("start", "end"))
        found = []
        for at, bot in enumerate(BOTS):
            values = [
                [
                    begin + (end - begin) * step / 60,
                    f"{20000 + 90 * math.sin(step / 7 + at) + (3 - at % 6) * step:.2f}",
                ]
                for step in range(61)
            ]
            found.append({"metric": {"bot": bot, "currency": "USD"}, "values": values})
        return web.json_response({"data": {"resultType": "matrix", "result": found}})


def _samples(query: str) -> list[tuple[dict[str, str], float]]:
    """Return what Prometheus has for one of the console's queries."""
    used = {bot: 0.08 + 0.05 * (at % 7) for at, bot in enumerate(BOTS)} | {AT_LIMIT: 0.86}
    if "trading_daily_loss{" in query:
        return [({"bot": bot, "currency": "USD"}, LIMITS["loss"] * used[bot]) for bot in BOTS]
    if "trading_exposure" in query:
        return [
            ({"bot": bot, "currency": "USD"}, LIMITS["exposure"] * used[bot] * 0.9) for bot in BOTS
        ]
    if "limit_used_ratio" in query:
        shares = [({"bot": bot, "limit": "daily_loss"}, used[bot]) for bot in BOTS]
        return shares + [({"bot": bot, "limit": "exposure"}, used[bot] * 0.9) for bot in BOTS]
    if "position_drift" in query:
        return [({"bot": DRIFTING, "symbol": "ETH/USD"}, 0.5)]
    if "timestamp(" in query:
        return [({}, 0.0)]
    return []


def settings_in(folder: Path) -> Settings:
    """Return the settings; the secrets are written once."""
    secrets = folder / "var" / "secrets"
    if not secrets.exists():
        secrets.mkdir(parents=True)
        for name in ("agent", "supervisor", "webhook", "metrics", "operator"):
            (secrets / f"{name}_token").write_text(name)
        (secrets / "audit_key").write_text("audit")
        for secret in secrets.iterdir():
            secret.chmod(0o600)
        save(secrets / FILE, everybody())
    return Settings(
        root=folder,
        var=folder / "var",
        runbooks=ROOT / "runbooks",
        observe_only=True,
        two_person_approval=True,
        grafana_url="http://grafana.example:3000",
    )


async def serve(folder: Path, port: int) -> None:
    """Serve until killed."""
    async with contextlib.AsyncExitStack() as stack:

        async def started(world: FakeWorld) -> str:
            server = world.server()
            if isinstance(world, Agent):
                server.app.router.add_get("/events", world.events)
            if isinstance(world, Sources):
                server.app.router.add_get("/api/v1/query_range", world.query_range)
            await server.start_server()
            stack.push_async_callback(server.close)
            return f"127.0.0.1:{server.port}"

        sources = Sources()
        address = await started(sources)
        ours = make_registry(
            reconciler=f"127.0.0.1:{port}",
            **dict.fromkeys(("supervisor", "prometheus", "alertmanager"), address),
        )
        bots = [
            make_target(name=name, address=await started(Agent(name)), service=None)
            for name in BOTS
        ]
        others = [target for target in ours if target.name != "alpha"]
        reconciler = await stack.enter_async_context(
            build(settings_in(folder), Registry((*others, *bots)))
        )
        runner = web.AppRunner(reconciler.application)
        await runner.setup()
        await BoundedSite(runner, "127.0.0.1", port).start()
        async with asyncio.TaskGroup() as group:
            group.create_task(reconciler.loop.run())
            group.create_task(reconciler.agent_monitor.run())
            await _notify(sources, port)


async def _notify(sources: Sources, port: int) -> None:
    alerts = [
        {**alert, "status": "firing", "endsAt": "0001-01-01T00:00:00Z",
         "fingerprint": fingerprint_of(alert["labels"])}
        for alert in sources.alerts
    ]  # fmt: skip
    body = {"version": "4", "status": "firing", "receiver": "reconciler", "alerts": alerts}
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer webhook"}) as session:
        url = f"http://127.0.0.1:{port}/api/v1/webhook/alertmanager"
        async with session.post(url, json=body) as response:
            response.raise_for_status()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
