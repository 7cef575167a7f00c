"""The child process of `courier`: reads jobs from standard input, delivers them, and answers each.

URLs come through the pipe, never in arguments or the environment, which others could read.
"""

import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import apprise
import apprise.plugins.email.base as apprise_email
import msgspec
from apprise.common import NotifyFormat

from trading_ops.notify.courier import DeliveryRequest, DeliveryResult

AT_ONCE = 4
LONGEST_ERROR = 500
REASONS = ("Socket Exception", "Response Details")

_THREAD = threading.local()
_WRITING = threading.Lock()


class _Captured(logging.Handler):
    """Collects what Apprise logs about a failure, per thread: Apprise returns no reason."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line; of debug lines only those with a reason."""
        captured, line = getattr(_THREAD, "captured", None), record.getMessage()
        if captured is not None and (record.levelno >= logging.WARNING or line.startswith(REASONS)):
            captured.append(line)


def _message_id(idstring: str | None = None, domain: str | None = None) -> str:
    """Return the Message-ID of this thread's mail: Apprise would create one for each attempt."""
    del idstring
    return f"<{_THREAD.message_id}@{domain or 'trading-ops'}>"


def _text(*conversion: object) -> str:
    """Return the plain text of the message: Apprise would derive it from the HTML."""
    del conversion
    return str(_THREAD.text)


def deliver(job: DeliveryRequest) -> DeliveryResult:
    """Deliver one message."""
    _THREAD.captured, _THREAD.message_id, _THREAD.text = [], job.message_id, job.text
    service = apprise.Apprise.instantiate(job.url, suppress_exceptions=True)
    if service is None:
        return DeliveryResult(ticket=job.ticket, error="Apprise does not know this URL")
    # Services with short messages are chats, which show a few tags only.
    has_room = service.body_maxlen > len(job.html)
    is_html = has_room and service.resolve_format(None) == NotifyFormat.HTML
    delivered = service.notify(
        title=job.subject,
        body=job.html if is_html else job.text,
        body_format=NotifyFormat.HTML if is_html else NotifyFormat.TEXT,
    )
    if bool(delivered):
        return DeliveryResult(ticket=job.ticket, error="")
    captured = "; ".join(dict.fromkeys(_THREAD.captured)) or "the service refused it"
    return DeliveryResult(ticket=job.ticket, error=captured[:LONGEST_ERROR])


def _work(line: bytes) -> None:
    job = msgspec.json.decode(line, type=DeliveryRequest)
    try:
        answer = deliver(job)
    except Exception as error:  # noqa: BLE001 - a plugin's defect is a failed delivery
        answer = DeliveryResult(
            ticket=job.ticket, error=f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
        )
    with _WRITING:
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()


def main() -> None:
    """Deliver until standard input ends."""
    vars(apprise_email).update(make_msgid=_message_id, convert_between=_text)
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(_Captured())
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for line in sys.stdin.buffer:
            threads.submit(_work, line)


if __name__ == "__main__":
    main()
