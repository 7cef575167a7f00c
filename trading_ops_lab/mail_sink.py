"""A mail sink that replaces on-call's mailbox: each mail becomes `<n>.eml` in a folder.

Run as `python -m trading_ops_lab.mail_sink --config FILE`; FILE holds
`{"address": "127.0.0.1:8451", "folder": "…"}`.
"""

import argparse
import asyncio
import contextlib
import json
import signal
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from trading_ops import durable, logs
from trading_ops.config.loading import load_log_policy
from trading_ops.config.targets import split_address

_log = logs.get(__name__)

LARGEST_MAIL_BYTES = 32 * 1024 * 1024
KEPT_BYTES = 256 * 1024 * 1024
"""Maximum size of the folder; the oldest mails are removed first."""


class Mailbox:
    """Numbers a folder's mails, continuing after a restart; the hook that aiosmtpd calls."""

    def __init__(self, folder: Path, kept_bytes: int = KEPT_BYTES) -> None:
        """Find the last number that was used."""
        self._kept_bytes = kept_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._last = max(
            (int(path.stem) for path in folder.glob("*.eml") if path.stem.isdigit()), default=0
        )

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Store one mail; it is on disk before the sender gets 250."""
        content = envelope.content or b""
        data = content.encode() if isinstance(content, str) else content
        # Numbered before the await, so that concurrent mails never share a number.
        self._last += 1
        number = self._last
        try:
            await asyncio.to_thread(_store, self._folder, number, data)
            await asyncio.to_thread(_prune, self._folder, self._kept_bytes)
        except OSError as error:
            _log.error("mail_not_stored", number=number, reason=str(error))
            return "451 the mail could not be stored; try again"
        _log.info("mail_stored", number=number, to=envelope.rcpt_tos)
        return f"250 stored as {number}"


def _store(folder: Path, number: int, data: bytes) -> None:
    durable.write(folder / f"{number}.eml", data)


def _prune(folder: Path, kept_bytes: int) -> None:
    """Remove the oldest mails above the limit; the newest one stays."""
    mails = sorted(
        ((int(path.stem), path) for path in folder.glob("*.eml") if path.stem.isdigit()),
        reverse=True,
    )
    total = 0
    for place, (_, path) in enumerate(mails):
        with contextlib.suppress(FileNotFoundError):  # another mail's thread prunes too
            total += path.stat().st_size
            if place and total > kept_bytes:
                path.unlink()


async def serve(address: str, folder: Path, *, kept_bytes: int = KEPT_BYTES) -> asyncio.Server:
    """Listen until the returned server is closed."""
    host, port = split_address(address)
    mailbox = Mailbox(folder, kept_bytes)
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: SMTP(mailbox, data_size_limit=LARGEST_MAIL_BYTES, ident="mail sink", loop=loop),
        host,
        port,
    )


async def _run(address: str, folder: Path) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    server = await serve(address, folder)
    _log.info("mail_sink_started", address=address)
    await stopping.wait()
    server.close()


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description="Stores each mail that it gets as a file.")
    parser.add_argument("--config", type=Path, required=True)
    config = json.loads(parser.parse_args().config.read_text(encoding="utf-8"))
    logs.configure("mail", policy=load_log_policy())
    asyncio.run(_run(config["address"], Path(config["folder"])))


if __name__ == "__main__":
    main()
