"""docs/adopt.md followed, and then ten minutes beside another team whose alerts fire all the time.

Our processes run as `trading-ops up` starts them, beside the team's Prometheus and Alertmanager.
Nothing of ours is broken, so nothing of ours may be said: no incident, and no page.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import yaml

from tests.free_ports import free_port
from tests.rules.adopting import Adopted, adopt, snippet
from tests.rules.configuration import ROOT
from tests.rules.receivers import Receivers, run_receivers
from tests.rules.running_alertmanager import RunningAlertmanager, start_alertmanager
from tests.rules.running_prometheus import start_prometheus
from tests.waiting import eventually
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.store import incidents
from trading_ops.store.engine import reading_engine
from trading_ops_lab.supervisor.processes import processes

pytestmark = pytest.mark.long

BESIDE_SECONDS = 600.0
TEAMS = {"CheckoutSlow", "CheckoutDown"}
UNDELIVERED = "CheckoutUndelivered"
"""Alertmanager fails to send it: its receiver is away."""

DEAD = "127.0.0.1:1"
"""A second Alertmanager of the team, which never answers: the queue towards it overflows."""

MACHINES_OWN = "TradingHost"
"""Alerts that start so are about the machine on which the test runs, and other work loads it."""


def listening() -> str:
    return f"127.0.0.1:{free_port()}"


@asynccontextmanager
async def running(*argv: str, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a process beside the test."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *argv, cwd=ROOT, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def settings_of(folder: Path, adopted: Adopted, places: dict[str, str]) -> Settings:
    """Write the registry of the page with the real addresses, and return what ours start with."""
    text = snippet("targets.yml")
    for shown, real in places.items():
        text = text.replace(shown, real)
    (folder / "targets.yml").write_text(text, encoding="utf-8")
    return Settings(
        root=ROOT,
        var=adopted.var,
        targets_file=folder / "targets.yml",
        runbooks=ROOT / "runbooks",
        prometheus_config=ROOT / "prometheus",
        alertmanager_config=ROOT / "alertmanager",
        observe_only=True,
    )


def notified_names(receivers: Receivers) -> list[str]:
    """Return the names of all alerts that the team received."""
    names = []
    while not receivers.notifications.empty():
        names += receivers.notifications.get_nowait().names
    return names


def incidents_of(settings: Settings) -> list[str]:
    """Return the alerts of all incidents."""
    engine = reading_engine(settings.database_url)
    try:
        with engine.connect() as connection:
            return [incident.alert for incident in incidents.search(connection)]
    finally:
        engine.dispose()


async def routes_all(alertmanager: RunningAlertmanager) -> bool:
    return set(await alertmanager.states()) >= {*TEAMS, UNDELIVERED}


async def their_failures(prometheus: str, alertmanager: str) -> dict[str, float]:
    """Return what fails for the team: rules, notifications, and deliveries to Alertmanager."""
    names = {
        "prometheus_rule_evaluation_failures_total": prometheus,
        "prometheus_notifications_errors_total": prometheus,
        "alertmanager_notifications_failed_total": alertmanager,
    }
    found = dict.fromkeys(names, 0.0)
    async with aiohttp.ClientSession() as session:
        for name, address in names.items():
            async with session.get(f"http://{address}/metrics") as answer:
                for line in (await answer.text()).splitlines():
                    if line.startswith(name):
                        found[name] += float(line.rpartition(" ")[2])
    return found


async def test_ten_minutes_beside_another_team(tmp_path: Path) -> None:
    """Their critical alerts, one with our page label, are in no incident and in no page of ours."""
    bot, webhook, exporter = listening(), listening(), listening()
    async with AsyncExitStack() as stack:
        receivers = await stack.enter_async_context(run_receivers())
        adopted = adopt(
            tmp_path, bot=bot, webhook=webhook, exporter=exporter, team=receivers.webhook
        )
        token = str(adopted.var / "secrets" / "metrics_token")
        example = str(ROOT / "examples" / "bare_metrics.py")
        port = bot.rpartition(":")[2]
        log = tmp_path / "bot.log"
        started = [
            await stack.enter_async_context(running(sys.executable, example, port, token, log=log))
        ]
        alertmanager = await stack.enter_async_context(start_alertmanager(adopted.alertmanager))
        config = adopted.prometheus
        theirs = yaml.safe_load(config.read_text().replace("ALERTMANAGER", alertmanager.address))
        theirs["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"].append(DEAD)
        config.write_text(yaml.safe_dump(theirs, sort_keys=False))
        prometheus = await stack.enter_async_context(start_prometheus(config, alertmanagers=2))
        itself = json.dumps([{"targets": [prometheus]}])
        (config.parent / "team" / "prometheus.json").write_text(itself)
        places = {
            "127.0.0.1:8411": bot,
            "127.0.0.1:8421": exporter,
            "127.0.0.1:8431": webhook,
            "127.0.0.1:9090": prometheus,
            "127.0.0.1:9093": alertmanager.address,
        }
        settings = settings_of(tmp_path, adopted, places)
        for plan in processes(settings, load_targets(settings.targets_file)):
            log = tmp_path / f"{plan.unit}.log"
            argv = ("env", *plan.environment, *plan.argv)
            started.append(await stack.enter_async_context(running(*argv, log=log)))
        await eventually(lambda: routes_all(alertmanager), within=60)
        await asyncio.sleep(BESIDE_SECONDS)
        assert await routes_all(alertmanager)
        assert [process.returncode for process in started] == [None] * len(started)
        failures = await their_failures(prometheus, alertmanager.address)
        opened, notified = incidents_of(settings), notified_names(receivers)
    assert min(failures.values()) > 10, failures
    assert set(notified) >= TEAMS
    ours = [name for name in notified if name.startswith("Trading")]
    sys.stdout.write(
        f"{BESIDE_SECONDS:.0f} s beside the team's alerts: {len(opened)} incidents {opened}, "
        f"{len(ours)} pages of ours {ours}, {len(notified) - len(ours)} of theirs, load "
        f"{os.getloadavg()[1]:.0f}; theirs: {failures}\n"
    )
    assert not [name for name in opened if not name.startswith(MACHINES_OWN)]
    assert not [name for name in ours if not name.startswith(MACHINES_OWN)]
