import asyncio
import json
import signal
import smtplib
import sys
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.free_ports import free_port
from tests.service.stack.small_processes import PATIENCE_SECONDS, until
from trading_ops_lab.mail_sink import serve


def send(port: int, subject: str) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.org", "b@example.org", subject
    message.set_content("…")
    with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE_SECONDS) as client:
        client.send_message(message)


def subjects(folder: Path) -> dict[str, str]:
    """Return the subject of each stored mail by its file's name; there is nothing else."""
    return {
        path.name: message_from_bytes(path.read_bytes())["Subject"] for path in folder.iterdir()
    }


async def test_mails_are_numbered_on_after_a_restart(tmp_path: Path) -> None:
    """Each mail is a file of its own, and a new sink overwrites none of an older one's."""
    for wanted in (("one", "two"), ("three",)):
        port = free_port()
        server = await serve(f"127.0.0.1:{port}", tmp_path)
        for subject in wanted:
            await asyncio.to_thread(send, port, subject)
        server.close()
        await server.wait_closed()
    assert subjects(tmp_path) == {"1.eml": "one", "2.eml": "two", "3.eml": "three"}


async def test_mails_at_once_get_numbers_of_their_own(tmp_path: Path) -> None:
    """Ten senders at once are ten files."""
    port = free_port()
    server = await serve(f"127.0.0.1:{port}", tmp_path)
    loop = asyncio.get_running_loop()
    # Threads of their own: the sink in this process needs the loop's to store what they send.
    with ThreadPoolExecutor(10) as senders:
        await asyncio.gather(
            *(loop.run_in_executor(senders, send, port, str(number)) for number in range(10))
        )
    server.close()
    await server.wait_closed()
    assert set(subjects(tmp_path).values()) == {str(number) for number in range(10)}


async def test_the_folder_is_bounded(tmp_path: Path) -> None:
    """The oldest mails go; the newest stays, however large."""
    port = free_port()
    server = await serve(f"127.0.0.1:{port}", tmp_path, kept_bytes=1)
    for subject in ("one", "two"):
        await asyncio.to_thread(send, port, subject)
    server.close()
    await server.wait_closed()
    assert subjects(tmp_path) == {"2.eml": "two"}


async def test_what_cannot_be_stored_is_not_accepted(tmp_path: Path) -> None:
    """The sender hears a temporary error, so that it tries again."""
    folder = tmp_path / "mail"
    port = free_port()
    server = await serve(f"127.0.0.1:{port}", folder)
    folder.rmdir()
    with pytest.raises(smtplib.SMTPDataError) as raised:
        await asyncio.to_thread(send, port, "lost?")
    assert raised.value.smtp_code == 451
    server.close()
    await server.wait_closed()


async def test_the_process_ends_on_sigterm(tmp_path: Path) -> None:
    """The sink as a process takes a mail and ends with code 0 when asked."""
    port = free_port()
    config = tmp_path / "mail.json"
    config.write_text(json.dumps({"address": f"127.0.0.1:{port}", "folder": str(tmp_path)}))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "trading_ops_lab.mail_sink", "--config", str(config),
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    await until(lambda: _accepts(port))
    await asyncio.to_thread(send, port, "hello")
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    assert (tmp_path / "1.eml").exists()


def _accepts(port: int) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE_SECONDS):
            return True
    except OSError:
        return False
