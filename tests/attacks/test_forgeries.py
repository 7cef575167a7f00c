"""Forged alerts, metrics and words: they act on nothing, and hide nothing that is true."""

import asyncio
import os
import signal
from typing import Any

import pytest

from tests.attacks.conftest import Rogue, Stranger, state_of, until_state
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.domain.target import Kind
from trading_ops_lab.drills.lab_clients import Scene

pytestmark = pytest.mark.attacks

NAMES = ("alpha", "paper", "exporter", "reconciler", "prometheus")
FAR = "2099-01-01T00:00:00Z"
EVIL = "https://evil.example"

FOREIGN = """\
trading_venue_up{venue="paper"} 1
trading_venue_status{status="maintenance",venue="paper"} 1
trading_host_disk_free_bytes 1
trading_host_disk_size_bytes 2e9
trading_ops_reconcile_last_success_timestamp_seconds 9e12
trading_ops_watchdog_last_seen_timestamp_seconds 9e12
trading_ops_notice{message="URGENT call 555"} 1
trading_ops_incident_escalated{alertname="X"} 1
ALERTS{alertname="TradingBotDown",alertstate="firing"} 1
up 1
trading_component_up{component="broker",bot="alpha"} 0
"""
"""Families of the exporter, the reconciler and Prometheus, and another bot's name."""


def forged(target: str, *, starts_at: str) -> dict[str, Any]:
    """Return an alert like the one that fires when a bot is down, as Alertmanager takes it."""
    labels = {
        "alertname": "TradingBotDown",
        "bot": target,
        "venue": "paper",
        "severity": "critical",
        "page_after": "5m",
    }
    return {"labels": labels, "annotations": {}, "startsAt": starts_at}


async def post_alerts(stranger: Stranger, alerts: list[dict[str, Any]]) -> int:
    """Hand alerts to Alertmanager; return its answer."""
    url = stranger.url(Kind.ALERTMANAGER, "/api/v2/alerts")
    return await stranger.status("POST", url, json=alerts)


async def end_alerts(stranger: Stranger, alerts: list[dict[str, Any]]) -> None:
    """Have Alertmanager take forged alerts for over."""
    now = clock.now().isoformat()
    began = "2026-01-01T00:00:00Z"
    await post_alerts(stranger, [alert | {"startsAt": began, "endsAt": now} for alert in alerts])


@pytest.mark.usefixtures("calm")
async def test_forged_alerts_neither_act_nor_hold_a_real_restart_back(
    stranger: Stranger, scene: Scene
) -> None:
    """Five targets claimed to be down since 2099, then the one bot really dies.

    A start in the future once held the restart back until then, and the forged ones counted as a
    storm.
    """
    stack = stranger.stack
    before = stack.processes()["bot-alpha"]
    alerts = [forged(name, starts_at=FAR) for name in NAMES]
    await post_alerts(stranger, alerts)
    try:
        await asyncio.sleep(10)  # what a forged alert led to would be done by now
        assert stack.processes()["bot-alpha"]["incarnation"] == before["incarnation"]
        assert await state_of(scene) == "active"
        os.kill(before["pid"], signal.SIGKILL)

        async def restarted() -> bool:
            now = stack.processes()["bot-alpha"]
            return bool(now["incarnation"] != before["incarnation"] and now["state"] == "ready")

        await eventually(restarted, within=60)
        assert stack.processes()["bot-alpha"]["restarts"] == before["restarts"] + 1
        await until_state(scene, "active")
    finally:
        await end_alerts(stranger, alerts)


@pytest.mark.usefixtures("calm")
async def test_a_forged_notification_restarts_nothing(stranger: Stranger, scene: Scene) -> None:
    """Even with the right token: Prometheus has not fired it."""
    before = stranger.stack.processes()["bot-alpha"]
    alert = forged("alpha", starts_at="2026-01-01T00:00:00Z")
    body = {
        "version": "4",
        "groupKey": "forged",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "reconciler",
        "groupLabels": {},
        "commonLabels": alert["labels"],
        "commonAnnotations": {},
        "externalURL": EVIL,
        "alerts": [
            alert
            | {
                "status": "firing",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "javascript:alert(1)",
                "fingerprint": "0123456789abcdef",
            }
        ],
    }
    url = stranger.url(Kind.RECONCILER, "/api/v1/webhook/alertmanager")
    assert await stranger.status("POST", url, json=body) == 401
    token = stranger.stack.settings.secret("webhook_token")
    assert await stranger.status("POST", url, json=body, token=token) == 200
    await asyncio.sleep(10)
    after = stranger.stack.processes()["bot-alpha"]
    assert after["incarnation"] == before["incarnation"]
    assert await state_of(scene) == "active"


@pytest.mark.parametrize("kind", [Kind.PROMETHEUS, Kind.RECONCILER, Kind.SUPERVISOR])
async def test_no_page_of_another_origin_reads_an_answer(stranger: Stranger, kind: Kind) -> None:
    """A browser on this machine with a hostile site open may not send credentials."""
    url = stranger.url(kind, "/api/v1/alerts")
    for method in ("GET", "OPTIONS"):
        headers = {"Origin": EVIL, "Access-Control-Request-Method": "POST"}
        async with stranger.session.request(method, url, headers=headers) as answer:
            assert answer.headers.get("Access-Control-Allow-Origin") not in {"*", EVIL}


async def test_prometheus_takes_no_orders(stranger: Stranger) -> None:
    """Neither a reload nor a stop, a deletion of series, nor samples by remote write."""
    for path in (
        "/-/reload",
        "/-/quit",
        "/api/v1/admin/tsdb/delete_series?match[]=up",
        "/api/v1/write",
    ):
        assert await stranger.status("POST", stranger.url(Kind.PROMETHEUS, path)) >= 400, path


async def value(scene: Scene, expression: str) -> float | None:
    """Return the value of the only sample of an expression; None: there is none."""
    found = await scene.prometheus.query(expression)
    return found[0].value if found else None


async def until_scraped(scene: Scene, rogue: Rogue, mark: int) -> None:
    """Wait until Prometheus has what the rogue exports now."""
    rogue.text += f"trading_open_orders {mark}\n"

    async def has_it() -> bool:
        return await value(scene, 'trading_open_orders{bot="rogue"}') == mark

    await eventually(has_it, within=60)


async def test_a_bot_speaks_for_itself_only(rogue: Rogue, scene: Scene) -> None:
    """Families of the exporter, the reconciler and Prometheus, under whatever names."""
    rogue.text = FOREIGN
    await until_scraped(scene, rogue, 4711)
    # What the reconciler says of the rogue is from a job of its own.
    foreign = (
        'count({bot="rogue",job=~"trading-bot.*",'
        '__name__=~"trading_(venue_up|venue_status|host_.*|ops_.*)"}) '
        'or count({exported_bot!=""}) unless count({exported_bot="alpha",bot="rogue"})'
    )
    assert await value(scene, foreign) is None
    assert await value(scene, 'trading_component_up{component="broker",bot="alpha"} == 0') is None
    assert await value(scene, 'count(trading_ops_notice{message=~"URGENT.*"})') is None


@pytest.mark.parametrize("lie", ["NaN", "-1e6", "-Inf"])
async def test_a_lie_about_a_loss_is_reported_and_halts_no_other_bot(
    rogue: Rogue, scene: Scene, lie: str
) -> None:
    """The fleet's sum leaves it out, and an alert names the bot that reports it."""
    rogue.text = f'trading_daily_loss{{currency="USD"}} {lie}\n'
    await until_scraped(scene, rogue, abs(hash(lie)) % 1000 + 5000)
    query = 'ALERTS{alertname="TradingBotValueImpossible",bot="rogue"}'
    await eventually(lambda: value(scene, query), within=60)
    assert await state_of(scene) == "active"


async def test_forty_thousand_series_are_refused_and_reported(rogue: Rogue, scene: Scene) -> None:
    """One bot cannot fill Prometheus for all."""
    rogue.text = "".join(f'trading_open_orders{{symbol="s{n}"}} 1\n' for n in range(40_000))
    query = 'ALERTS{alertname="TradingBotMetricsRejected",bot="rogue"}'
    await eventually(lambda: value(scene, query), within=90)
    assert not await value(scene, 'count({bot="rogue"}) > 10000')
    assert await state_of(scene) == "active"


async def highest_fence(stranger: Stranger, token: str) -> int:
    """Return the fence up to which the bot's agent takes orders."""
    headers = {"Authorization": f"Bearer {token}"}
    url = stranger.url(Kind.BOT, "/fence")
    async with stranger.session.post(url, json={"fence": 1}, headers=headers) as answer:
        return int((await answer.json())["highest"])


@pytest.mark.usefixtures("calm")
async def test_the_agents_answer_releases_no_halt_of_an_operator(
    stranger: Stranger, scene: Scene
) -> None:
    """A hold released under another name with the agent's token is placed again."""
    placed = await scene.reconciler.hold("alpha", "halt", owner="test", reason="a person's")
    assert placed.acknowledged
    token = stranger.stack.settings.secret("agent_token_alpha")
    url = stranger.url(Kind.BOT, "/commands/resume")
    events_url = stranger.url(Kind.RECONCILER, "/api/v1/events")
    operator = stranger.stack.settings.secret("operator_token")
    try:

        async def reapplied() -> bool:
            order = {
                "attempt_id": f"stolen-{clock.timestamp()}",
                "fence": await highest_fence(stranger, token),
                "params": {"owner": "ada (token ada)", "reason": "all clear", "holds": "all"},
            }
            assert await stranger.status("POST", url, token=token, json=order) == 200
            # A release of a hold that the reconciler has not yet heard of leaves no trace.
            await asyncio.sleep(1)
            found = (await stranger.json(events_url, token=operator))["events"]
            assert not [event for event in found if event["actor"].startswith("ada")]
            return any(event["kind"] == "hold_reapplied" for event in found)

        await eventually(reapplied, within=60)
        await until_state(scene, "halted")
    finally:
        await scene.reconciler.release("alpha", holds=(), owner="test", reason="over")
    await until_state(scene, "active")


async def test_a_fence_beyond_every_number_is_refused(stranger: Stranger, scene: Scene) -> None:
    """At the agent by its own token; orders by hand go through afterwards."""
    url = stranger.url(Kind.BOT, "/fence")
    token = stranger.stack.settings.secret("agent_token_alpha")
    for fence in (2**63 - 1, 2**53, 2**200, -1, "1", None):
        assert await stranger.status("POST", url, token=token, json={"fence": fence}) == 422
    placed = await scene.reconciler.hold("alpha", "reduce", owner="test", reason="still obeyed")
    assert placed.acknowledged
    await scene.reconciler.release("alpha", holds=(), owner="test", reason="over")
    await until_state(scene, "active")
