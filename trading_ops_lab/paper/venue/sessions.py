"""Edge sessions: the cookie that the network in front of the exchange sets for each client.

A session is a signed number in the cookie; nothing is stored per client. Numbers only increase, so
"every session until now" is one number too.
"""

import hashlib
import hmac
import secrets
from typing import Final

import msgspec

COOKIE: Final = "__cf_bm"
SECRET_BYTES: Final = 32


class SessionState(msgspec.Struct):
    """What must survive a restart: the signing secret and the last number."""

    secret: str = msgspec.field(default_factory=lambda: secrets.token_hex(SECRET_BYTES))
    last: int = 0


class Sessions:
    """Issues and reads session cookies."""

    def __init__(self, state: SessionState) -> None:
        """Continue after the stored number."""
        self.state = state

    def open(self) -> tuple[int, str]:
        """Issue a new session: its number and its cookie."""
        self.state.last += 1
        return self.state.last, f"{self.state.last}-{self._sign(str(self.state.last))}"

    def number(self, cookie: str | None) -> int | None:
        """Return the session's number, or None for no cookie or one that is not ours."""
        text, _, signature = (cookie or "").partition("-")
        if not text.isascii() or not signature.isascii():
            return None
        if not hmac.compare_digest(signature.encode(), self._sign(text).encode()):
            return None
        return int(text)

    def _sign(self, text: str) -> str:
        return hmac.new(self.state.secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def name(number: int) -> str:
    """Return the name of a session in the journal."""
    return f"s{number}"
