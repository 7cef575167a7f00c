"""WebSocket tokens: issued by GetWebSocketsToken, each for one account."""

import secrets
from typing import Final

import msgspec

from trading_ops_lab.paper.venue.errors import VenueRefusal

TOKEN_SECONDS: Final = 900
"""A token must be used within this time; a connection that has used it keeps it."""

MOST: Final = 10_000
"""Number of tokens kept; the oldest are dropped first."""


class Holder(msgspec.Struct, frozen=True):
    """The account of a token, and the deadline for its first use (epoch seconds)."""

    key: str
    account: str
    ends_at: float


class Tokens:
    """All tokens; they end with the process, like the connections."""

    def __init__(self) -> None:
        """Start with none."""
        self._holders: dict[str, Holder] = {}

    def give(self, key: str, account: str, now: float) -> str:
        """Create a token for an account."""
        if len(self._holders) >= MOST:
            del self._holders[next(iter(self._holders))]
        token = secrets.token_urlsafe()
        self._holders[token] = Holder(key, account, now + TOKEN_SECONDS)
        return token

    def holder(self, token: str, now: float, *, in_use: bool) -> Holder:
        """Return the account of a token.

        Args:
            token: as the client sent it.
            now: epoch seconds.
            in_use: whether this connection has used it before.

        Raises:
            VenueRefusal: unknown, or not used in time.
        """
        holder = self._holders.get(token)
        if holder is None or (not in_use and holder.ends_at <= now):
            raise VenueRefusal("ESession:Invalid session")
        return holder
