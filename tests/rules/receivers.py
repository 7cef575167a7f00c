"""The two ends of Alertmanager's ways, in this process: a webhook and an SMTP server."""

import asyncio
import email
import email.policy
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from trading_ops import clock


@dataclass(frozen=True)
class Notification:
    """One webhook notification as it arrived."""

    at: float
    """Seconds on the monotonic clock."""

    path: str
    authorization: str
    body: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """The names of its alerts."""
        return [alert["labels"]["alertname"] for alert in self.body["alerts"]]


@dataclass(frozen=True)
class Mail:
    """One mail as it arrived."""

    at: float
    message: EmailMessage

    @property
    def subject(self) -> str:
        """Its subject."""
        return str(self.message["Subject"])

    def body(self, kind: str) -> str:
        """Return its `plain` or `html` part."""
        part = self.message.get_body(preferencelist=(kind,))
        assert part is not None
        text: str = part.get_content()
        return text


@dataclass
class Receivers:
    """What arrived, in order; each is taken once."""

    webhook: str = ""
    """`host:port` of the webhook."""

    smarthost: str = ""
    notifications: asyncio.Queue[Notification] = field(default_factory=asyncio.Queue)
    mails: asyncio.Queue[Mail] = field(default_factory=asyncio.Queue)

    async def post(self, request: web.Request) -> web.Response:
        """Take one notification."""
        body = json.loads(await request.read())
        header = request.headers.get("Authorization", "")
        self.notifications.put_nowait(Notification(clock.monotonic(), request.path, header, body))
        return web.Response()

    # aiosmtpd calls its handler by this name.
    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Take one mail."""
        content = envelope.content
        assert isinstance(content, bytes)
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.put_nowait(Mail(clock.monotonic(), message))
        return "250 taken"


@asynccontextmanager
async def run_receivers() -> AsyncIterator[Receivers]:
    """Listen on two free ports until the end of the block."""
    receivers = Receivers()
    application = web.Application()
    application.router.add_post("/{path:.*}", receivers.post)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(receivers, loop=loop), "127.0.0.1", 0)
    receivers.webhook = "{}:{}".format(*runner.addresses[0])
    receivers.smarthost = "{}:{}".format(*server.sockets[0].getsockname())
    try:
        yield receivers
    finally:
        server.close()
        await server.wait_closed()
        await runner.cleanup()
