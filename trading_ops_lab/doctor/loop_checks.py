"""Online checks of `doctor`: every connection, and a test alert to on-call and back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from trading_ops import clock
from trading_ops.clients.http import Http
from trading_ops.config.settings import Settings
from trading_ops.doctor.check import Check
from trading_ops.domain.target import Kind, Target
from trading_ops.errors import ClientError, ConfigError
from trading_ops_lab.drills.lab_clients import Scene

LOOP_WITHIN_SECONDS = 30.0
SETTLE_SECONDS = 20.0
"""A stack that has just started has not scraped everything yet."""

TICK_SECONDS = 0.2
STRANGERS = {Kind.BOT: "/metrics/vital", Kind.FREQTRADE: "/api/v1/show_config"}
"""Paths that a bot must not serve without a token or a password."""


async def check_connections(scene: Scene) -> AsyncIterator[Check]:
    """Yield one check for each link of the loop, in the order of the loop."""
    for bot in scene.registry.bots:
        agent = bot.kind is Kind.BOT
        yield await _link(
            f"bot {bot.name} → its {'agent' if agent else 'REST API'}",
            partial(_health, scene, bot),
            f"read the log of {bot.name}, then `trading-ops incidents`",
        )
        yield await _link(
            f"bot {bot.name} rejects requests without a token",
            partial(_refuses, scene, bot.url, STRANGERS[bot.kind]),
            "it must require a token or a password: check its configuration",
        )
    yield await _link("automation", partial(_automation, scene), "`trading-ops automation resume`")
    ours = f'{{instance="{scene.registry.one(Kind.RECONCILER).address}"}}'
    for name, query, want, message, fix in (
        ("Prometheus scrapes all", "up == 0", False, "no target is down", "see its /targets page"),
        (
            "Prometheus → Alertmanager",
            "prometheus_notifications_alertmanagers_discovered > 0",
            True,
            "discovered",
            "check var/prometheus/targets/alertmanagers.json",
        ),
        (
            "reconciler polls both",
            f"time() - min(trading_ops_poll_last_success_timestamp_seconds{ours}) < 60",
            True,
            "polled within the last minute",
            "read var/log/reconciler.log: it names the source that does not answer",
        ),
        (
            "Alertmanager → reconciler",
            f"time() - trading_ops_watchdog_last_seen_timestamp_seconds{ours} < 180",
            True,
            "the Watchdog arrives",
            "the Watchdog did not arrive: read var/log/alertmanager.log (a wrong token is 401)",
        ),
    ):
        yield await _link(name, partial(_query, scene, query, message, want=want), fix)


async def _link(name: str, ask: Callable[[], Awaitable[str]], fix: str) -> Check:
    try:
        return Check(name=name, ok=True, detail=await ask())
    except (ClientError, ConfigError, _Wrong) as error:
        return Check(name=name, ok=False, detail=str(error), fix=fix)


class _Wrong(Exception):
    """A component answered, but not as expected."""


async def _health(scene: Scene, bot: Target) -> str:
    health = await scene.directory.bot(bot).health()
    if health.status != "ok":
        down = [part for part, state in health.components.items() if not state.up]
        raise _Wrong(f"it reports: {health.status} ({', '.join(down) or 'no component'})")
    return f"{health.status}, trading is {health.state}"


async def _refuses(scene: Scene, address: str, path: str) -> str:
    answer = await Http(scene.session, address).ask("GET", path)
    if answer.status != 401:  # noqa: PLR2004
        raise _Wrong(f"without a token it answered HTTP {answer.status}")
    return "HTTP 401 without a token"


async def _automation(scene: Scene) -> str:
    status = await scene.reconciler.status()
    if status.pause is not None:
        raise _Wrong(f"paused by {status.pause.owner}: {status.pause.reason}; automation is off")
    return f"running, open incidents: {status.incidents_open}"


async def _query(scene: Scene, query: str, message: str, *, want: bool) -> str:
    deadline = clock.monotonic() + SETTLE_SECONDS
    while True:
        samples = await scene.prometheus.query(query)
        if bool(samples) is want:
            return message
        if clock.monotonic() > deadline:
            break
        await asyncio.sleep(TICK_SECONDS)
    seen = [
        f"{sample.labels.get('job', '')} {sample.labels.get('instance', '')}" for sample in samples
    ]
    raise _Wrong(f"{query} → {', '.join(seen) or 'nothing'}")


async def check_whole_way(scene: Scene) -> AsyncIterator[Check]:
    """Fire a test alert; yield when it reaches the reconciler, and when on-call's mailbox."""
    began = clock.monotonic()
    try:
        test_id = await scene.reconciler.test_alert()
    except ClientError as error:
        yield Check(name="test alert", ok=False, detail=str(error), fix="start the reconciler")
        return
    try:
        yield await _arrives(
            "test alert → reconciler",
            began,
            partial(_incident_with, scene, test_id),
            "read var/log/prometheus.log and var/log/alertmanager.log",
        )
        yield await _arrives(
            "test alert → the on-call mailbox",
            began,
            partial(_mail_with, scene.settings, test_id),
            "read var/log/alertmanager.log and var/log/mail.log",
        )
    finally:
        await scene.reconciler.end_test_alert()


async def _arrives(
    name: str, began: float, look: Callable[[], Awaitable[str | None]], fix: str
) -> Check:
    while clock.monotonic() - began < LOOP_WITHIN_SECONDS:
        found = await look()
        if found is not None:
            seconds = clock.monotonic() - began
            return Check(name=name, ok=True, detail=f"{found} after {seconds:.1f} s")
        await asyncio.sleep(TICK_SECONDS)
    detail = f"did not arrive within {LOOP_WITHIN_SECONDS:.0f} s"
    return Check(name=name, ok=False, detail=detail, fix=fix)


async def _incident_with(scene: Scene, test_id: str) -> str | None:
    try:
        for incident in await scene.reconciler.incidents(alertname="TradingOpsTest", limit="5"):
            if incident.labels.get("test_id") == test_id:
                return f"incident {incident.id[:8]}"
    except ClientError:
        return None
    return None


async def _mail_with(settings: Settings, test_id: str) -> str | None:
    def look() -> str | None:
        for path in sorted((settings.var / "mail").glob("*.eml"), reverse=True)[:20]:
            if test_id.encode() in path.read_bytes():
                return str(path)
        return None

    return await asyncio.to_thread(look)
