"""docs/adopt.md followed once, with a Prometheus and an Alertmanager that another team has."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.free_ports import free_port
from tests.rules.adopting import PAGE, Adopted, adopt, snippet
from tests.rules.configuration import (
    PROMETHEUS,
    ROOT,
    ROUTES,
    RUNBOOKS,
    load_rules,
    read_yaml,
    routed_differently,
    run_tool,
)
from tests.rules.receivers import Notification, Receivers, run_receivers
from tests.rules.running_alertmanager import RunningAlertmanager, start_alertmanager
from tests.rules.running_prometheus import start_prometheus
from tests.waiting import PATIENCE, eventually
from trading_ops.app.build import build
from trading_ops.config.settings import Settings
from trading_ops.config.targets import parse_targets
from trading_ops.domain.acknowledgement import PAGE as PAGE_ALERT
from trading_ops.domain.decision import AlertState
from trading_ops.domain.observation import alert_state
from trading_ops.reconciler.intake import parse_notification
from trading_ops.reconciler.loop import Loop
from trading_ops.reconciler.runbook_index import load_runbooks
from trading_ops.store import incidents

ALERT = "TradingBotBrokerDisconnected"
DEADLINE = 20.0 * PATIENCE


@pytest.fixture(scope="module")
def adopted(tmp_path_factory: pytest.TempPathFactory) -> Adopted:
    """Follow the page as it stands."""
    return adopt(tmp_path_factory.mktemp("adopted"))


def test_both_tools_accept_what_becomes_of_the_teams_files(adopted: Adopted) -> None:
    """Rules, discovery files and tokens are where the configuration looks for them."""
    found = run_tool("promtool", "check", "config", adopted.prometheus).stdout
    rules = list((PROMETHEUS / "rules").glob("*.yml"))
    assert f"{len(rules)} rule files found" in found  # monitoring_stack.yml is left out
    assert "SUCCESS" in run_tool("amtool", "check-config", adopted.alertmanager).stdout
    config = read_yaml(adopted.prometheus)
    for job in config["scrape_configs"]:
        for named in (
            *(file for entry in job.get("file_sd_configs", ()) for file in entry["files"]),
            *filter(None, [job.get("authorization", {}).get("credentials_file")]),
        ):
            assert (adopted.prometheus.parent / named).is_file(), named
    (webhook,) = read_yaml(adopted.alertmanager)["receivers"][-1]["webhook_configs"]
    token = (
        adopted.alertmanager.parent / webhook["http_config"]["authorization"]["credentials_file"]
    )
    assert token.read_text() == (adopted.var / "secrets" / "webhook_token").read_text()


def test_no_rule_is_about_the_teams_servers_as_a_whole(adopted: Adopted) -> None:
    """Another team's failing rule, failing receiver or full queue would page through our route."""
    files = (adopted.prometheus.parent / "trading-ops" / "rules").glob("*.yml")
    left_out = {path.name for path in (PROMETHEUS / "rules").glob("*.yml")} - {
        path.name for path in files
    }
    assert left_out == {"monitoring_stack.yml"}
    about_them = re.compile(
        r"\b(prometheus|alertmanager)_\w|job=~?\"[^\"]*(prometheus|alertmanager)"
    )
    found = {rule.file for rule in load_rules() if about_them.search(rule.expr)}
    assert found == {"monitoring_stack.yml"}


def test_the_jobs_are_the_shipped_ones() -> None:
    """But for the folder, and without the two that a team has itself."""
    shipped = (PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8")
    moved = shipped.replace("secrets/", "trading-ops/").replace("targets/", "trading-ops/targets/")
    jobs = yaml.safe_load(moved)["scrape_configs"]
    ours = [job for job in jobs if job["job_name"].startswith("trading-")]
    assert yaml.safe_load(snippet("prometheus.yml"))["scrape_configs"] == ours


def receivers_for(adopted: Adopted, **labels: str) -> str:
    """Ask amtool which receivers are notified, in order."""
    pairs = [f"{name}={value}" for name, value in labels.items()]
    config = f"--config.file={adopted.alertmanager}"
    return run_tool("amtool", "config", "routes", "test", config, *pairs).stdout.strip()


def test_every_alert_of_ours_takes_our_route(adopted: Adopted) -> None:
    """The reconciler, then the team when the alert pages at once; pages reach the team only."""
    for rule in routed_differently(adopted.alertmanager):
        receivers = ["trading-ops"] if rule.name != PAGE_ALERT else []
        receivers += ["team-pager"] if rule.labels["page_after"] == "0s" else []
        shown = receivers_for(adopted, alertname=rule.name, bot="alpha", **rule.labels)
        assert shown == ",".join(receivers), rule.name


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"alertname": "CheckoutSlow", "severity": "critical"}, "team-pager"),
        ({"alertname": "CheckoutSlow", "severity": "warning"}, "team-tickets"),
        ({"alertname": "Watchdog", "severity": "none"}, "team-pager"),
        ({"alertname": "CheckoutDown", "page_after": "5m"}, "team-pager"),
    ],
)
def test_what_was_the_teams_stays_the_teams(
    adopted: Adopted, labels: dict[str, str], expected: str
) -> None:
    """Their alerts, their own Watchdog too, go where they went before."""
    assert receivers_for(adopted, **labels) == expected


def test_pages_are_grouped_as_shipped() -> None:
    """By names of ours alone; all other alerts that take our route are one page."""
    (route,) = yaml.safe_load(snippet("alertmanager.yml"))["route"]["routes"]
    grouped = route["routes"][2:4]
    for ours, shipped in zip(grouped, read_yaml(ROUTES)["route"]["routes"][3:5], strict=True):
        for key in ("matchers", "group_by"):
            assert ours[key] == shipped[key]
    assert route["group_by"] == ["page_after"]
    assert route["matchers"][1] == 'page_after=~"0s|5m|15m|never"'


def test_the_page_names_files_that_are_there() -> None:
    """The boards, their provisioning, the templates."""
    text = PAGE.read_text(encoding="utf-8")
    for name in (
        "grafana/dashboards",
        "grafana/provisioning/dashboards/trading-ops.yaml",
        "grafana/provisioning/datasources/trading-ops.yaml",
        "alertmanager/templates",
    ):
        assert f"`{name}`" in text
        assert (ROOT / name).exists()
    assert list((ROOT / "grafana" / "dashboards").glob("*.json"))


@asynccontextmanager
async def broken_bot() -> AsyncIterator[tuple[str, list[str]]]:
    """A bot without a broker session; yields its address and what scrapers showed it."""
    shown: list[str] = []

    async def vital(request: web.Request) -> web.Response:
        shown.append(request.headers.get("Authorization", ""))
        text = 'trading_component_up{component="broker"} 0\n'
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4"})

    application = web.Application()
    application.router.add_get("/metrics/vital", vital)
    server = TestServer(application, host="127.0.0.1")
    await server.start_server()
    try:
        yield f"127.0.0.1:{server.port}", shown
    finally:
        await server.close()


async def test_an_alert_of_ours_arrives_as_the_reconciler_takes_it(tmp_path: Path) -> None:
    """Through the team's own Prometheus and Alertmanager, beside an alert of the team's."""
    async with run_receivers() as receivers, broken_bot() as (bot, shown):
        adopted = adopt(tmp_path, bot=bot, webhook=receivers.webhook, team=receivers.webhook)
        async with start_alertmanager(adopted.alertmanager) as alertmanager:
            config = adopted.prometheus
            text = config.read_text().replace("ALERTMANAGER", alertmanager.address)
            config.write_text(text)
            async with start_prometheus(config, alertmanagers=1):
                arrived = await until_notified(
                    receivers.notifications, {ALERT, "Watchdog", "CheckoutSlow"}
                )
    secrets = adopted.var / "secrets"
    assert set(shown) == {f"Bearer {(secrets / 'metrics_token').read_text()}"}
    ours = arrived[ALERT]
    assert ours.path == "/api/v1/webhook/alertmanager"
    assert ours.authorization == f"Bearer {(secrets / 'webhook_token').read_text()}"
    (alert,) = parse_notification(json.dumps(ours.body).encode(), {"cluster": "prod"})
    labels = {name: alert.labels.get(name) for name in ("alertname", "bot", "venue", "component")}
    assert labels == {"alertname": ALERT, "bot": "alpha", "venue": "kraken", "component": "broker"}
    assert load_runbooks(ROOT / "runbooks")[alert.name].steps
    assert arrived["Watchdog"].path == ours.path
    theirs = arrived["CheckoutSlow"]
    assert theirs.path == "/pager"
    assert theirs.body["commonLabels"]["cluster"] == "prod"


async def until_notified(queue: "asyncio.Queue[Notification]", names: set[str]) -> dict[str, Any]:
    """Return the first notification of each of these alerts."""
    found: dict[str, Notification] = {}
    while names - found.keys():
        notification = await asyncio.wait_for(queue.get(), DEADLINE)
        for name in notification.names:
            found.setdefault(name, notification)
    return found


async def test_beside_a_live_reconciler_the_teams_alerts_stay_the_teams(tmp_path: Path) -> None:
    """Critical alerts of another team and external labels: incidents are opened for ours alone."""
    webhook = f"127.0.0.1:{free_port()}"
    async with run_receivers() as receivers, broken_bot() as (bot, _):
        adopted = adopt(tmp_path, bot=bot, webhook=webhook, team=receivers.webhook)
        async with start_alertmanager(adopted.alertmanager) as alertmanager:
            text = adopted.prometheus.read_text().replace("ALERTMANAGER", alertmanager.address)
            adopted.prometheus.write_text(text)
            async with (
                start_prometheus(adopted.prometheus, alertmanagers=1) as prometheus,
                live_reconciler(adopted, webhook, prometheus, alertmanager.address) as loop,
            ):
                await eventually(lambda: has_incident(loop), within=DEADLINE, what="our incident")
                fired = {"CheckoutSlow", "CheckoutDown", "Watchdog", ALERT}
                await eventually(
                    lambda: routes_all(alertmanager, fired), within=DEADLINE, what="all alerts"
                )
                await polls(loop, times=3)
                found = await loop.reader.read(incidents.search)
                snapshot = loop.snapshot
    names = {notification.alert for notification in found}
    assert ALERT in names
    assert not names & {"CheckoutSlow", "CheckoutDown", "Watchdog", "TradingRecoveryFailed"}
    (ours,) = [notification for notification in found if notification.alert == ALERT]
    assert "cluster" not in ours.labels
    assert snapshot is not None
    assert alert_state(ours, None, snapshot) is AlertState.FIRING
    assert not [name for name in notified_names(receivers) if name.startswith("Trading")]


@asynccontextmanager
async def live_reconciler(
    adopted: Adopted, webhook: str, prometheus: str, alertmanager: str
) -> AsyncIterator[Loop]:
    """Run the real one with the registry of the page, where Alertmanager will look for it."""
    text = snippet("targets.yml")
    for shown, real in (
        ("127.0.0.1:9090", prometheus),
        ("127.0.0.1:9093", alertmanager),
        ("127.0.0.1:8431", webhook),
    ):
        text = text.replace(shown, real)
    settings = Settings(
        root=ROOT,
        var=adopted.var,
        runbooks=RUNBOOKS,
        observe_only=True,
        poll_interval_seconds=1,
    )
    async with build(settings, parse_targets(text, where="docs/adopt.md")) as built:
        server = TestServer(built.application, host="127.0.0.1", port=int(webhook.split(":")[1]))
        await server.start_server()
        looping = asyncio.create_task(built.loop.run())
        try:
            yield built.loop
        finally:
            looping.cancel()
            await asyncio.gather(looping, return_exceptions=True)
            await server.close()


async def has_incident(loop: Loop) -> bool:
    """Whether one was opened for our alert."""
    return any(incident.alert == ALERT for incident in await loop.reader.read(incidents.search))


async def routes_all(alertmanager: RunningAlertmanager, names: set[str]) -> bool:
    """Whether it has all these alerts."""
    return names <= set(await alertmanager.states())


def notified_names(receivers: Receivers) -> list[str]:
    """Return the names of all alerts that the team received."""
    names = []
    while not receivers.notifications.empty():
        names += receivers.notifications.get_nowait().names
    return names


async def polls(loop: Loop, times: int) -> None:
    """Wait until both sources were asked so often once more."""
    seen = {id(loop.snapshot): loop.snapshot}

    def again() -> bool:
        seen[id(loop.snapshot)] = loop.snapshot
        return len(seen) > times

    await eventually(again, within=DEADLINE, what="polls")
