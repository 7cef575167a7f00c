"""The whole way to a page, with nothing in it but a bot that is not real.

A real Prometheus with the shipped rules, a real Alertmanager with the shipped routes, the real
reconciler with the shipped runbooks; the bot is a server that says what its broker is like. Of the
rules only the delay before paging is shorter, so that some seconds stand for five minutes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.builders import make_registry
from tests.fakes import FakeWorld
from tests.free_ports import free_port
from tests.rules.configuration import METRICS_TOKEN, RUNBOOKS
from tests.rules.receivers import Receivers, run_receivers
from tests.rules.running_alertmanager import WEBHOOK_TOKEN, RunningAlertmanager, run_alertmanager
from tests.rules.running_prometheus import run_prometheus
from tests.waiting import eventually
from trading_ops.app.build import build
from trading_ops.config.settings import Settings
from trading_ops.reconciler.loop import Loop
from trading_ops.store import incidents

DELAYS = {"5m": "15s"}
SLOWLY = 60.0
ALERT = "TradingBotBrokerDisconnected"


class RemediationStack(NamedTuple):
    """The ends of the way."""

    bot: FakeWorld
    receivers: Receivers
    alertmanager: RunningAlertmanager
    loop: Loop | None
    """None: the reconciler is dead."""

    alert: str = ALERT

    async def pages(self) -> list[str]:
        """Return the subjects of all mails until one that was ordered last and waits as long."""
        mark = {"alertname": "Mark", "bot": "beta", "venue": "paper", "page_after": "0s"}
        await self.alertmanager.post(mark)
        subjects: list[str] = []
        while True:
            mail = await asyncio.wait_for(self.receivers.mails.get(), SLOWLY)
            if "Mark" in mail.subject:
                return subjects
            subjects.append(mail.subject)

    async def is_closed(self) -> bool:
        """Whether the reconciler has had an incident of the alert and none is open."""
        assert self.loop is not None
        found = await self.loop.reader.read(incidents.search)
        ours = [incident for incident in found if incident.alert == self.alert]
        return bool(ours) and not any(incident.is_open for incident in ours)

    async def is_over(self) -> bool:
        """Whether Alertmanager has forgotten the alert, or never had it."""
        return self.alert not in await self.alertmanager.states()


Says = Callable[[FakeWorld], str]


class Shows(NamedTuple):
    """What each job reads; nothing where that is None."""

    vital: Says | None = None
    detail: Says | None = None
    host: Says | None = None
    """Of the exporter, beside the bot."""


def broker(bot: FakeWorld) -> str:
    """Return what a bot says that has lost its session, or has not."""
    return f'trading_component_up{{component="broker"}} {0 if bot.firing else 1}\n'


@asynccontextmanager
async def remediation_stack(
    folder: Path,
    *,
    alive: bool,
    alert: str = ALERT,
    shows: Shows | None = None,
    fixed_by: frozenset[str] = frozenset({"reconnect_broker"}),
) -> AsyncIterator[RemediationStack]:
    """Build all of it; the bot is healthy.

    Args:
        folder: where everything runs.
        alive: whether there is a reconciler.
        alert: that the bot will raise.
        shows: returns what is to be seen, by whether the bot is sick; by default of its broker.
        fixes: commands that recover it.
    """
    bot = FakeWorld(labels={"alertname": alert}, bot_status="ok", fixed_by=fixed_by)
    webhook = f"127.0.0.1:{free_port()}"
    async with (
        run_receivers() as receivers,
        served(bot),
        shown(bot, shows or Shows(vital=broker)) as metrics,
    ):
        forwarded = Receivers(
            webhook, receivers.smarthost, receivers.notifications, receivers.mails
        )
        async with (
            run_alertmanager(folder / "alertmanager", forwarded) as alertmanager,
            run_prometheus(
                folder / "prometheus",
                alertmanagers=[alertmanager.address],
                reconcilers=[webhook],
                bots={"alpha": metrics},
                exporters=[metrics] if shows and shows.host else [],
                delays=DELAYS,
            ) as prometheus,
        ):
            if not alive:
                yield RemediationStack(bot, receivers, alertmanager, None, alert)
                return
            addresses = {"prometheus": prometheus, "alertmanager": alertmanager.address}
            async with reconciler(folder, bot, webhook, addresses) as loop:
                yield RemediationStack(bot, receivers, alertmanager, loop, alert)


@asynccontextmanager
async def served(bot: FakeWorld) -> AsyncIterator[None]:
    """Let it be commanded."""
    server = bot.server()
    await server.start_server()
    bot.address = f"127.0.0.1:{server.port}"
    try:
        yield
    finally:
        await server.close()


@asynccontextmanager
async def shown(bot: FakeWorld, shows: Shows) -> AsyncIterator[str]:
    """Let it be scraped; yields the address."""

    async def show(request: web.Request) -> web.Response:
        if request.path.endswith("/vital"):
            says = shows.vital
        else:  # the detail of a bot is asked for without what is vital
            says = shows.detail if "exclude" in request.query else shows.host
        headers = {"Content-Type": "text/plain; version=0.0.4"}
        return web.Response(text=says(bot) if says else "", headers=headers)

    app = web.Application()
    app.router.add_get("/metrics/vital", show)
    app.router.add_get("/metrics", show)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.close()


@asynccontextmanager
async def reconciler(
    folder: Path, bot: FakeWorld, webhook: str, addresses: dict[str, str]
) -> AsyncIterator[Loop]:
    """Run the real one, where Alertmanager will look for it."""
    secrets = folder / "var" / "secrets"
    secrets.mkdir(parents=True)
    for name in ("agent", "supervisor", "operator"):
        (secrets / f"{name}_token").write_text(name)
    (secrets / "webhook_token").write_text(WEBHOOK_TOKEN)
    (secrets / "metrics_token").write_text(METRICS_TOKEN)
    (secrets / "audit_key").write_text("audit")
    settings = Settings(root=folder, var=folder / "var", runbooks=RUNBOOKS, poll_interval_seconds=5)
    registry = make_registry(
        alpha=bot.address, supervisor=bot.address, reconciler=webhook, **addresses
    )
    async with build(settings, registry) as built:
        server = TestServer(built.application, host="127.0.0.1", port=int(webhook.split(":")[1]))
        await server.start_server()
        looping = asyncio.create_task(built.loop.run())
        try:
            yield built.loop
        finally:
            looping.cancel()
            await asyncio.gather(looping, return_exceptions=True)
            await server.close()


async def test_what_is_remediated_in_time_pages_no_one(tmp_path: Path) -> None:
    """A session is lost; the reconciler is notified, reconnects it and verifies: no mail."""
    async with remediation_stack(tmp_path, alive=True) as stack:
        stack.bot.firing = True
        await eventually(stack.is_closed, within=SLOWLY, what="the incident to be closed")
        await eventually(stack.is_over, within=SLOWLY, what="the alert to be resolved")
        assert stack.bot.commands == ["reconnect_broker"]
        assert await stack.pages() == []


async def test_a_dead_reconciler_pages_once(tmp_path: Path) -> None:
    """No one listens to the webhook: the fault pages at the end of its wait, and once."""
    async with remediation_stack(tmp_path, alive=False) as stack:
        stack.bot.firing = True
        mail = await asyncio.wait_for(stack.receivers.mails.get(), SLOWLY)
        while ALERT not in mail.subject:  # the reconciler's own death pages too, in its time
            assert "TradingOpsReconcilerDown" in mail.subject
            mail = await asyncio.wait_for(stack.receivers.mails.get(), SLOWLY)
        assert not [subject for subject in await stack.pages() if "bot=alpha" in subject]
