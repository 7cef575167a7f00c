"""Who is paged, on a real Alertmanager and where rules matter a real Prometheus.

Remediated in time and not recovered are in `test_alertmanager_live`. Here: the reconciler is dead,
a person has acknowledged it, and the reconciler gave up. “No mail” is never a guess: a later mail
that must come is awaited, and is the next one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import generate_latest

from tests.builders import make_alert, make_registry, make_runbook
from tests.free_ports import free_port
from tests.open_incidents import open_incidents
from tests.rules.receivers import Mail, Receivers, run_receivers
from tests.rules.running_alertmanager import RunningAlertmanager, run_alertmanager
from tests.rules.running_prometheus import run_prometheus
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.clients.alertmanager import Alertmanager, Alertmanagers
from trading_ops.clients.http import Http
from trading_ops.domain.acknowledgement import PAGE
from trading_ops.domain.decision import Close, Reason
from trading_ops.domain.incident import Incident
from trading_ops.domain.silences import Matcher
from trading_ops.reconciler.acknowledgements import AcknowledgementSync
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.store import Connection, acknowledgements, incidents, migrate
from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

DEADLINE = 20.0
DOWN = {
    "alertname": "TradingBotDown",
    "bot": "alpha",
    "venue": "paper",
    "severity": "critical",
    "page_after": "5m",
    "remediation": "auto",
}
PAGE_OF_IT = {
    "alertname": PAGE,
    "origin": "TradingBotDown",
    "bot": "alpha",
    "venue": "paper",
    "severity": "critical",
    "page_after": "0s",
    "after": "5m",
}
MARK = {"alertname": "Mark", "bot": "beta", "venue": "paper", "page_after": "0s"}
"""Posted last, with the same wait: its mail shows that nothing else was to come before."""


async def next_mail(receivers: Receivers) -> Mail:
    return await asyncio.wait_for(receivers.mails.get(), DEADLINE)


async def mails_until_mark(receivers: Receivers) -> list[str]:
    """Return the subjects of all mails before the mark's."""
    subjects: list[str] = []
    while True:
        mail = await next_mail(receivers)
        if "Mark" in mail.subject:
            return subjects
        subjects.append(mail.subject)


async def test_the_reconciler_is_dead_one_page(tmp_path: Path) -> None:
    """Its webhook is refused, again and again: the page comes at its time, once."""
    async with run_receivers() as receivers:
        dead = replace(receivers, webhook=f"127.0.0.1:{free_port()}")
        async with run_alertmanager(tmp_path / "alertmanager", dead) as alertmanager:
            await alertmanager.post(DOWN)
            await alertmanager.post(PAGE_OF_IT)
            assert "TradingBotDown" in (await next_mail(receivers)).subject
            await alertmanager.post(DOWN)
            await alertmanager.post(PAGE_OF_IT)
            await alertmanager.post(MARK)
            assert await mails_until_mark(receivers) == []


@dataclass
class Person:
    """Someone who acknowledges, through the real thing, and the incident that is theirs."""

    acknowledging: AcknowledgementSync
    writer: Writer
    reader: Reader
    incident: Incident
    ahead: timedelta = field(default=timedelta())

    async def passes(self, *, ahead: timedelta = timedelta()) -> None:
        """Make one pass of the loop, so much later than now."""
        self.ahead = ahead
        await self.acknowledging.sync(await self.reader.read(open_incidents))

    async def recovers(self) -> None:
        """Let the incident end."""

        def end(connection: Connection) -> None:
            incidents.close(
                connection, self.incident.id, Close(reason=Reason.RESOLVED), now=clock.now()
            )

        await self.writer.run(end)
        await self.passes()


@asynccontextmanager
async def a_person(folder: Path, *addresses: str) -> AsyncIterator[Person]:
    """Open an incident of the alert, and give an operator the means to acknowledge it."""
    url = f"sqlite:///{folder / 'store.db'}"
    migrate.upgrade(url)
    writer, reader = Writer(writing_engine(url)), Reader(reading_engine(url))
    writer.start()
    try:
        async with aiohttp.ClientSession() as session:
            members = [Alertmanager(Http(session, f"http://{address}")) for address in addresses]
            acknowledging = AcknowledgementSync(
                writer=writer,
                reader=reader,
                alertmanagers=Alertmanagers(members),
                index=RunbookIndex({"TradingBotDown": make_runbook()}, make_registry()),
                metrics=ReconcilerMetrics(),
            )
            person = Person(acknowledging, writer, reader, await writer.run(_open_incident))
            acknowledging.now = lambda: clock.now() + person.ahead
            yield person
    finally:
        reader.close()
        writer.stop()


def _open_incident(connection: Connection) -> Incident:
    now = clock.now()
    alert = make_alert(labels=DOWN, starts_at=now)
    sighting = incidents.FiringAlert(alert=alert, target="alpha")
    incidents.open_all(connection, [sighting], received_at=now, now=now, source="webhook")
    (incident,) = incidents.search(connection)
    return incident


async def active(alertmanager: RunningAlertmanager) -> list[dict[str, Any]]:
    return [
        silence
        for silence in await alertmanager.silences()
        if silence["status"]["state"] == "active"
    ]


async def test_acknowledged_no_page_while_it_fires_and_no_silence_after(tmp_path: Path) -> None:
    """A silence on every label mutes the alert and its page, and no other bot's; then nothing."""
    async with (
        run_receivers() as receivers,
        run_alertmanager(tmp_path / "alertmanager", receivers) as alertmanager,
        a_person(tmp_path, alertmanager.address) as person,
    ):
        await alertmanager.post(DOWN)
        done = await person.acknowledging.acknowledge(person.incident.id, owner="anna")
        assert done.error is None
        (silence,) = await active(alertmanager)
        assert silence["createdBy"] == "anna"
        await alertmanager.post(PAGE_OF_IT)
        await alertmanager.post(PAGE_OF_IT | {"bot": "gamma"})
        await eventually(lambda: _suppressed(alertmanager), what="the silence to take hold")
        assert "bot=gamma" in (await next_mail(receivers)).subject

        await person.passes(ahead=timedelta(minutes=6))
        (extended,) = await active(alertmanager)
        assert extended["endsAt"] > silence["endsAt"]
        (acknowledgement,) = (await person.reader.read(acknowledgements.active)).values()
        assert acknowledgement.silence_id == extended["id"]
        await alertmanager.post(MARK)
        assert await mails_until_mark(receivers) == []

        await alertmanager.post(DOWN, resolved=True)
        await person.recovers()
        assert await active(alertmanager) == []


async def _suppressed(alertmanager: RunningAlertmanager) -> bool:
    return (await alertmanager.states()).get("TradingBotDown") == "suppressed"


async def test_withdrawn_the_silence_is_gone_at_once(tmp_path: Path) -> None:
    """The alert is unassigned again, for on-call and for the reconciler."""
    async with (
        run_receivers() as receivers,
        run_alertmanager(tmp_path / "alertmanager", receivers) as alertmanager,
        a_person(tmp_path, alertmanager.address) as person,
    ):
        await alertmanager.post(DOWN)
        await person.acknowledging.acknowledge(person.incident.id, owner="anna")
        await person.acknowledging.acknowledge(person.incident.id, owner="ben")
        (silence,) = await active(alertmanager)
        assert silence["createdBy"] == "ben"
        await person.acknowledging.unacknowledge(person.incident.id, owner="ben")
        assert await active(alertmanager) == []
        await eventually(lambda: _is_active(alertmanager), what="the alert to be active again")


async def _is_active(alertmanager: RunningAlertmanager) -> bool:
    return (await alertmanager.states()).get("TradingBotDown") == "active"


async def test_one_alertmanager_of_two_is_dead_the_other_has_the_silence(tmp_path: Path) -> None:
    """The first one that answers is notified."""
    async with (
        run_receivers() as receivers,
        run_alertmanager(tmp_path / "alertmanager", receivers) as alertmanager,
        a_person(tmp_path, f"127.0.0.1:{free_port()}", alertmanager.address) as person,
    ):
        done = await person.acknowledging.acknowledge(person.incident.id, owner="anna")
        assert done.error is None
        assert len(await active(alertmanager)) == 1
        await person.acknowledging.unacknowledge(person.incident.id, owner="anna")
        assert await active(alertmanager) == []


async def test_a_cluster_is_asked_as_one(tmp_path: Path) -> None:
    """A silence placed at one member reaches the other; an alert that only one knows is known."""
    gossip = f"127.0.0.1:{free_port()}"
    async with (
        run_receivers() as receivers,
        run_alertmanager(tmp_path / "a", receivers, gossip=gossip) as first,
        run_alertmanager(
            tmp_path / "b", receivers, gossip=f"127.0.0.1:{free_port()}", peer=gossip
        ) as other,
        a_person(tmp_path, first.address, other.address) as person,
    ):
        await person.acknowledging.acknowledge(person.incident.id, owner="anna")
        await eventually(lambda: active(other), within=DEADLINE, what="gossip")
        await other.post(DOWN)
        await first.post(MARK)

        async def silenced() -> bool:
            found = (await person.acknowledging.alertmanagers.alerts()).values()
            by_name = {alert.labels["alertname"]: alert for alert in found}
            assert set(by_name) == {"TradingBotDown", "Mark"}
            return by_name["TradingBotDown"].silenced and not by_name["Mark"].silenced

        await eventually(silenced, within=DEADLINE, what="the other's silence to take hold")
        await person.acknowledging.unacknowledge(person.incident.id, owner="anna")
        assert await active(first) == []
        assert await active(other) == []


async def test_the_secondary_oncall_is_another_receiver(tmp_path: Path) -> None:
    """Notified at once, at an address of its own, and the subject says so."""
    async with (
        run_receivers() as receivers,
        run_alertmanager(tmp_path / "alertmanager", receivers) as alertmanager,
    ):
        l2 = {"alertname": "TradingAlertUnacknowledged", "tier": "l2", "page_after": "0s"}
        await alertmanager.post(DOWN | l2 | {"origin": "TradingBotDown"})
        mail = await next_mail(receivers)
        assert mail.message["To"] == "oncall-secondary@example.invalid"
        expected = "[FIRING] L2 TradingAlertUnacknowledged after TradingBotDown"
        assert mail.subject.startswith(expected)
        await alertmanager.post(MARK)
        assert await mails_until_mark(receivers) == []


async def test_the_reconciler_gave_up_pages_at_once(tmp_path: Path) -> None:
    """A metric, the shipped rule on a real Prometheus, and a mail: no wait, and only one."""
    metrics = ReconcilerMetrics()
    async with (
        run_receivers() as receivers,
        run_alertmanager(tmp_path / "alertmanager", receivers) as alertmanager,
        serve_metrics(metrics) as address,
        run_prometheus(
            tmp_path / "prometheus", reconcilers=[address], alertmanagers=[alertmanager.address]
        ),
    ):
        metrics.escalated.labels("TradingBotDown", "alpha", "alpha", "paper", "").set(1)
        mail = await next_mail(receivers)
        assert mail.message["To"] == "on-call@example.invalid"
        expected = "[FIRING] TradingRecoveryFailed after TradingBotDown bot=alpha venue=paper"
        assert mail.subject == expected
        await alertmanager.post(MARK)
        assert await mails_until_mark(receivers) == []


@asynccontextmanager
async def serve_metrics(metrics: ReconcilerMetrics) -> AsyncIterator[str]:
    """Export them as the reconciler does; the address is what Prometheus scrapes."""

    async def show(_request: web.Request) -> web.Response:
        text = generate_latest(metrics.registry)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4"})

    application = web.Application()
    application.router.add_get("/metrics/vital", show)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield "{}:{}".format(*runner.addresses[0])
    finally:
        await runner.cleanup()


async def test_a_silence_by_hand_is_read_with_what_it_matches(tmp_path: Path) -> None:
    """Matchers of each type, the alert that it silences, and nothing once it is expired."""
    matchers = (
        Matcher("alertname", "TradingBot.*", is_regex=True),
        Matcher("bot", "alpha"),
        Matcher("venue", "kraken", is_equal=False),
    )
    async with (
        run_receivers() as receivers,
        run_alertmanager(tmp_path / "alertmanager", receivers) as alertmanager,
    ):
        url = f"http://{alertmanager.address}"
        now = clock.now()
        order = {
            "matchers": [
                {
                    "name": matcher.name,
                    "value": matcher.value,
                    "isRegex": matcher.is_regex,
                    "isEqual": matcher.is_equal,
                }
                for matcher in matchers
            ],
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(hours=2)).isoformat(),
            "createdBy": "ada",
            "comment": "new disk",
        }
        async with alertmanager.session.post(f"{url}/api/v2/silences", json=order) as answer:
            assert answer.status == 200, await answer.text()
        await alertmanager.post(DOWN)
        await eventually(lambda: _suppressed(alertmanager), what="the silence to take hold")
        client = Alertmanager(Http(alertmanager.session, url))
        (silence,) = await client.silences()
        assert (silence.created_by, silence.comment) == ("ada", "new disk")
        assert set(silence.matchers) == set(matchers)
        (alert,) = (await client.alerts()).values()
        assert alert.silenced_by == {silence.id}
        await client.expire(silence.id)
        assert await client.silences() == []
