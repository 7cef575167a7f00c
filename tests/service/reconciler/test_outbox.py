"""Messages from the store to a real mail server, by Apprise in its own process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.builders import NOW
from tests.mail import MailServer, mail_server, part
from tests.mails.samples import NOTIFICATION
from tests.service.reconciler.conftest import Running, Start
from tests.waiting import eventually
from trading_ops.config.settings import Settings
from trading_ops.domain.message import MessageState
from trading_ops.notify.courier import Courier
from trading_ops.notify.outbox import Outbox, make_test_message
from trading_ops.reconciler.metrics import OutboxMetrics, ReconcilerMetrics
from trading_ops.store import Connection, messages
from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.reader import Reader
from trading_ops.store.search import TimeRange
from trading_ops.store.writer import Writer

CONFIG = """\
version: 1
link: https://ops.example.com
routes: [{name: all, to: [mail]}]
"""


@pytest.fixture
async def mail() -> AsyncIterator[MailServer]:
    async with mail_server() as server:
        yield server


@pytest.fixture
def notify(settings: Settings, mail: MailServer) -> Settings:
    """Settings of an installation that sends everything to the mail server."""
    return configure(settings, mail)


def configure(settings: Settings, mail: MailServer) -> Settings:
    config = settings.root / "notify.yml"
    config.write_text(CONFIG)
    (settings.secrets / "notify_urls").write_text(f"mail {mail.url()}\n")
    (settings.secrets / "notify_urls").chmod(0o600)
    return settings


async def is_working(running: Running) -> None:
    """Wait until the outbox has started: what happened before it did is not announced."""
    await running.call("POST", "/api/v1/messages", json={})
    await eventually(partial(sent, running, "test"))


async def sent(running: Running, kind: str) -> dict[str, Any] | None:
    """Return the newest message of a kind once it was delivered."""
    path = f"/api/v1/messages?kind={kind}&state=sent"
    found = (await running.call("GET", path))["messages"]
    return found[0] if found else None


async def test_a_recovery_is_reported(start: Start, notify: Settings, mail: MailServer) -> None:
    """What broke, what was done, how long it took and what is open; labels in it are inert."""
    async with start(notify_config=notify.root / "notify.yml") as running:
        await is_working(running)
        running.world.labels["note"] = "<script>alert(1)</script>"
        await running.break_it()
        await eventually(running.closed)
        message = await eventually(partial(sent, running, "recovery"))
        text = await running.call("GET", f"/api/v1/messages/{message['id']}")
    (got,) = [received for received in mail.mails if received["Subject"] == message["subject"]]
    assert got["Message-ID"] == f"<{message['batch']}@127.0.0.1>"
    assert "BotSick" in got["Subject"]
    assert "reconnect_broker on alpha: verified" in part(got, "plain")
    assert "reconnect_broker on alpha: verified" in text["text"]
    assert "<script" not in part(got, "html")
    assert (message["severity"], message["attempts"]) == ("critical", 1)


async def test_what_people_order_is_announced(
    start: Start, notify: Settings, mail: MailServer
) -> None:
    """A hold, a pause and a maintenance window, each as it starts and as it ends."""
    async with start(notify_config=notify.root / "notify.yml") as running:
        await is_working(running)
        order: dict[str, Any] = {"reason": "a test", "owner": "ann"}
        await running.call("POST", "/api/v1/targets/alpha/halt", json=order)
        await running.call("POST", "/api/v1/pause", json=order | {"seconds": 60})
        await running.call("DELETE", "/api/v1/pause")
        window = await running.call(
            "POST", "/api/v1/maintenance", json=order | {"seconds": 60, "target": "alpha"}
        )
        await eventually(lambda: len(mail.mails) >= 5)
        await running.call("DELETE", f"/api/v1/maintenance/{window['id']}")
        await eventually(lambda: len(mail.mails) >= 6)
        await eventually(partial(delivered, running, 6))
    subjects = sorted(str(received["Subject"]) for received in mail.mails)
    assert [subject.split(":")[0] for subject in subjects] == [
        "Automation paused by ann (token local)",
        "Automation resumed by local",
        "Hold placed",
        "Maintenance begins",
        "Maintenance ends",
        "Test message from local",
    ]


async def delivered(running: Running, count: int) -> bool:
    return await running.metric('trading_ops_messages_total{outcome="sent"}') >= count


async def test_a_test_message_says_why_it_failed(
    start: Start, notify: Settings, mail: MailServer
) -> None:
    """And goes out once the server takes it; the address is in no answer and no metric."""
    mail.answer = "451 try again later"
    async with start(notify_config=notify.root / "notify.yml") as running:
        (key,) = (await running.call("POST", "/api/v1/messages", json={}))["ids"]
        show = partial(running.call, "GET", f"/api/v1/messages/{key}")

        async def failed() -> dict[str, Any] | None:
            found: dict[str, Any] = (await show())["message"]
            return found if found["error"] else None

        found = await eventually(failed)
        assert "451" in found["error"]
        assert "owner@example.com" not in str(found)
        mail.answer = "250 taken"
        assert await running.call("POST", "/api/v1/dead-messages/retry", json={}) == {"count": 0}
        await running.call("POST", f"/api/v1/messages/{key}/retry", json={})
        found = await eventually(partial(sent, running, "test"))
        assert (found["error"], len(mail.mails)) == ("", 1)
        name = "trading_ops_messages_oldest_undelivered_timestamp_seconds"

        async def calm() -> bool:
            return await running.metric(name) == 0

        await eventually(calm)


async def test_alertmanager_may_send_by_apprise(
    start: Start, notify: Settings, mail: MailServer
) -> None:
    """A retry is one mail; another notification another; it opens no incident."""
    headers = {"Authorization": "Bearer webhook"}
    path = "/api/v1/webhook/messages"
    async with start(notify_config=notify.root / "notify.yml") as running:
        for _ in range(2):
            async with running.client.post(path, json=NOTIFICATION, headers=headers) as answer:
                assert answer.status == 200, await answer.text()
        found = await eventually(partial(sent, running, "alert"))
        assert found["severity"] == "critical"
        (got,) = mail.mails
        assert got["Subject"] == "firing: TradingBotDown on alpha and 1 more"
        assert "The venue answers slowly." in part(got, "plain")
        assert await running.incident() is None
        async with running.client.post(path, data=b"{}", headers=headers) as answer:
            assert answer.status == 400
        config = notify.root / "notify.yml"
        routed = config.read_text()
        config.write_text(routed.replace("{name: all,", "{name: all, kinds: [report],"))
        async with running.client.post(path, json=NOTIFICATION, headers=headers) as answer:
            assert answer.status == 503
            assert "`alert`" in await answer.text()
        (notify.root / "notify.yml").unlink()
        async with running.client.post(path, json=NOTIFICATION, headers=headers) as answer:
            assert answer.status == 503
            assert "messages are off" in await answer.text()


async def test_without_a_configuration_no_message_is_stored(start: Start) -> None:
    async with start(notify_config=Path("/nowhere/notify.yml")) as running:
        headers = {"Authorization": "Bearer operator"}
        answer = await running.client.post("/api/v1/messages", json={}, headers=headers)
        assert answer.status == 409
        assert "messages are off" in await answer.text()


class Rig:
    """An outbox alone, on a database that outlives it."""

    def __init__(self, settings: Settings, writer: Writer, reader: Reader) -> None:
        self.settings, self.writer, self.reader = settings, writer, reader
        self.metrics: OutboxMetrics = ReconcilerMetrics().outbox

    @contextlib.asynccontextmanager
    async def running(self, **over: Any) -> AsyncIterator[Outbox]:
        """Run an outbox; leaving the context ends it wherever it is, as a kill would."""
        outbox = Outbox(
            config_path=self.settings.root / "notify.yml",
            urls_path=self.settings.secrets / "notify_urls",
            writer=self.writer,
            reader=self.reader,
            metrics=self.metrics,
            every_seconds=0.05,
            courier=Courier(**over),
        )
        task = asyncio.create_task(outbox.run())
        try:
            yield outbox
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def message(self) -> messages.StoredMessage | None:
        """Return the newest message."""
        found = await self.reader.read(partial(messages.search, span=TimeRange()))
        return found[0] if found else None

    async def is_sent(self) -> bool:
        """Whether the newest message was delivered."""
        found = await self.message()
        return found is not None and found.state is MessageState.SENT


@pytest.fixture
def rig(settings: Settings, mail: MailServer) -> Any:
    configure(settings, mail)
    writer = Writer(writing_engine(settings.database_url))
    writer.start()
    reader = Reader(reading_engine(settings.database_url))
    yield Rig(settings, writer, reader)
    reader.close()
    writer.stop()


def end_claims(connection: Connection) -> None:
    """Let the time pass in which a dead reconciler's claims hold."""
    connection.exec_driver_sql("UPDATE messages SET next_try_at = 0")


async def test_killed_between_send_and_mark_it_is_the_same_mail_twice(
    rig: Rig, mail: MailServer
) -> None:
    mail.hold = asyncio.Event()
    async with rig.running() as outbox:
        await outbox.enqueue(make_test_message(owner="ann", key="1", now=NOW))
        await asyncio.wait_for(mail.arrived.wait(), 60)
    found = await rig.message()
    assert found is not None
    assert found.state is MessageState.SENDING
    mail.hold.set()
    mail.hold = None
    await rig.writer.run(end_claims)
    async with rig.running():
        await eventually(rig.is_sent)
    assert len(mail.mails) == 2
    assert len({str(received["Message-ID"]) for received in mail.mails}) == 1


async def test_a_server_that_does_not_answer_is_given_up_in_time(
    rig: Rig, mail: MailServer
) -> None:
    """Its process is ended, and the same mail goes out when the server answers."""
    mail.hold = asyncio.Event()
    async with rig.running(answer_seconds=3.0) as outbox:
        await outbox.enqueue(make_test_message(owner="ann", key="1", now=NOW))

        async def failed() -> bool:
            found = await rig.message()
            return found is not None and "no answer" in found.error

        await eventually(failed)
        outbox.courier.answer_seconds = 600.0
        mail.hold.set()
        await eventually(rig.is_sent)
    assert len({str(received["Message-ID"]) for received in mail.mails}) == 1


async def test_a_dead_server_loses_nothing(rig: Rig, mail: MailServer) -> None:
    """Also one whose URL is missing at first: the file is read again."""
    urls = rig.settings.secrets / "notify_urls"
    right = urls.read_text()
    urls.write_text(f"other {mail.url()}\n")
    async with rig.running() as outbox:
        await outbox.enqueue(make_test_message(owner="ann", key="1", now=NOW))

        async def says(text: str) -> bool:
            found = await rig.message()
            return found is not None and text in found.error

        await eventually(partial(says, "no URL for mail"))
        urls.write_text(right.replace(str(mail.port), "9"))  # the discard port: nothing listens
        await rig.writer.run(end_claims)
        await eventually(partial(says, "refused"))
        urls.write_text(right)
        await rig.writer.run(end_claims)
        await eventually(rig.is_sent)
    assert len(mail.mails) == 1


async def test_an_invalid_file_keeps_what_was_read_and_is_shown(rig: Rig, mail: MailServer) -> None:
    config = rig.settings.root / "notify.yml"
    async with rig.running() as outbox:
        await outbox.enqueue(make_test_message(owner="ann", key="1", now=NOW))
        await eventually(rig.is_sent)

        def since() -> float:
            (sample,) = next(iter(rig.metrics.oldest_undelivered.collect())).samples
            return sample.value

        config.write_text("version: 9")
        await eventually(since)
        await rig.writer.run(partial(messages.store, drafts=[copy_of("2")], now=NOW))
        await eventually(lambda: len(mail.mails) == 2)
        config.write_text(CONFIG)
        await eventually(lambda: not since())


def copy_of(key: str) -> messages.Draft:
    message = make_test_message(owner="ann", key=key, now=NOW)
    return messages.Draft(
        key=message.key,
        kind=message.kind,
        severity=message.severity,
        bot=None,
        route="all",
        channel="mail",
        subject=message.subject,
        text="t",
        html="<p>t</p>",
        digest=False,
        due_at=NOW,
    )
