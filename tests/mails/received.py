"""Mails as a mail server gets them from Apprise, in a form that is the same at each run.

`python -m tests.mails.received` writes them to `tests/mails/golden`, one .eml for each sample.
"""

import asyncio
import email
import email.policy
from email.message import EmailMessage
from pathlib import Path

from tests.mail import mail_server
from tests.mails.samples import rendered
from trading_ops.notify.channels import Channel
from trading_ops.notify.courier import Courier

GOLDEN = Path(__file__).parent / "golden"
BOUNDARY = "boundary"
DATE = "Mon, 02 Mar 2026 15:00:00 +0000"


async def receive() -> dict[str, str]:
    """Send every sample through Apprise; return each as it arrived."""
    found = {}
    courier = Courier()
    async with mail_server() as server:
        channel = Channel("mail", server.url())
        try:
            for name, sample in rendered().items():
                error = await courier.deliver(channel, sample, message_id=name)
                assert not error, error
                found[name] = stable(server.mails.pop())
        finally:
            await courier.close()
    return found


def stable(mail: EmailMessage) -> str:
    """Return headers and decoded parts, without what differs between two runs."""
    fixed = {"Date": DATE, "Content-Type": f'{mail.get_content_type()}; boundary="{BOUNDARY}"'}
    lines = [f"{name}: {fixed.get(name, str(value))}" for name, value in mail.items()]
    for part in mail.iter_parts():
        assert isinstance(part, EmailMessage)
        kept = [f"{name}: {value}" for name, value in part.items() if name.startswith("Content-")]
        kept = [header for header in kept if not header.startswith("Content-Transfer-Encoding")]
        body = str(part.get_content()).replace("\r\n", "\n")
        lines += ["", f"--{BOUNDARY}", *kept, "Content-Transfer-Encoding: 8bit", "", body]
    return "\n".join([*lines, "", f"--{BOUNDARY}--", ""])


def html_of(golden: str) -> str:
    """Return the HTML part of a stored mail."""
    mail = email.message_from_bytes(golden.encode(), policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    part = mail.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def main() -> None:
    """Write the golden files."""
    for name, text in asyncio.run(receive()).items():
        (GOLDEN / f"{name}.eml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
