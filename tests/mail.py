"""A real mail server in the test's own loop, with configurable replies."""

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import quote

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class MailServer:
    """What arrived, in order."""

    port: int = 0
    answer: str = "250 taken"
    """To each mail."""

    mails: list[EmailMessage] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    hold: asyncio.Event | None = None
    """While it is there and not set, a mail that arrived gets no answer."""

    def url(self, sender: str = "ops@example.com", to: str = "owner@example.com") -> str:
        """Return the Apprise URL of this server."""
        return f"mailto://127.0.0.1:{self.port}?from={quote(sender)}&to={quote(to)}"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Take one mail."""
        content = envelope.content
        assert isinstance(content, bytes)
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        if self.answer.startswith("2"):
            self.mails.append(message)
        self.arrived.set()
        if self.hold is not None:
            await self.hold.wait()
        return self.answer


def part(mail: EmailMessage, kind: str) -> str:
    """Return a mail's `plain` or `html` part."""
    found = mail.get_body(preferencelist=(kind,))
    assert found is not None
    text: str = found.get_content()
    return text


@asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    """Listen on a free port until the end of the block."""
    made = MailServer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(made, loop=loop), "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        if made.hold is not None:
            made.hold.set()
        server.close()
        await server.wait_closed()
