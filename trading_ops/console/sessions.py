"""Console sessions: a random cookie represents a token until one of them expires.

A session contains the digest of its token, never the token; revocation or expiry of the token ends
its sessions. They are stored in a file as hashes of their cookies, so that a restart of the
reconciler during an incident logs no one out. Memory is authoritative: login works with a full
disk.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from trading_ops import clock, durable, logs

log = logs.get(__name__)

LONGEST_SECONDS = 12 * 3600.0
"""Maximum lifetime of a session, even if it is in use: one shift."""

SESSIONS_A_TOKEN = 20
"""The least recently used session of a token makes room for a new one."""

SAVED_SECONDS = 60.0
"""Maximum age of a stored time of use."""


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    digest: str
    owner: str | None
    begun_at: float
    used_at: float


@dataclass(kw_only=True)
class Notice:
    """The result of a form, shown on the next page."""

    text: str
    failed: bool = False


@dataclass(kw_only=True, eq=False)
class LoginSession:
    """One login."""

    key: str
    """The hash of the cookie."""

    digest: str
    """Of the token."""

    owner: str | None
    """The operator's name, if the token is shared."""

    begun_at: float
    used_at: float
    """Seconds since the epoch, as `begun_at`."""

    saved_at: float = 0.0
    notices: list[Notice] = field(default_factory=list)


class Sessions:
    """All sessions of this reconciler."""

    def __init__(self, path: Path, *, idle_seconds: float) -> None:
        self._path = path
        self._idle_seconds = idle_seconds
        self._by_key: dict[str, LoginSession] = {}
        self._saving = asyncio.Lock()
        for stored in self._read():
            self._by_key[stored.key] = LoginSession(**msgspec.structs.asdict(stored))

    def begin(self, digest: str, owner: str | None) -> str:
        """Log in with a valid token; return the new cookie."""
        now = clock.timestamp()
        cookie = new_cookie()
        same = [session for session in self._by_key.values() if session.digest == digest]
        for old in sorted(same, key=lambda session: -session.used_at)[SESSIONS_A_TOKEN - 1 :]:
            self.end(old)
        session = LoginSession(
            key=_hash(cookie), digest=digest, owner=owner, begun_at=now, used_at=now
        )
        self._by_key[session.key] = session
        return cookie

    def find(self, cookie: str) -> LoginSession | None:
        """Return the session of a cookie; None: there is none, or it was idle for too long."""
        session = self._by_key.get(_hash(cookie))
        if session is None or self._is_live(session, clock.timestamp()):
            return session
        self.end(session)
        return None

    def use(self, session: LoginSession) -> bool:
        """Record activity of the operator; return whether it is time to save."""
        session.used_at = clock.timestamp()
        return abs(session.used_at - session.saved_at) > SAVED_SECONDS

    def end(self, session: LoginSession) -> None:
        """Log out."""
        self._by_key.pop(session.key, None)

    async def save(self) -> None:
        """Write the sessions; if that fails, they only end at the next restart."""
        async with self._saving:
            now = clock.timestamp()
            kept = [session for session in self._by_key.values() if self._is_live(session, now)]
            for session in kept:
                session.saved_at = session.used_at
            try:
                await asyncio.to_thread(self._write, [_stored(session) for session in kept])
            except OSError as error:
                log.warning("sessions_not_saved", error=str(error))

    def _is_live(self, session: LoginSession, now: float) -> bool:
        # After a backward clock step, no session lasts longer than its lifetime from now.
        idle, age = abs(now - session.used_at), abs(now - session.begun_at)
        return idle < self._idle_seconds and age < LONGEST_SECONDS

    def _read(self) -> list[_Stored]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[_Stored])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as error:
            log.warning("sessions_not_read", error=str(error))
            return []

    def _write(self, kept: Iterable[_Stored]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        durable.write(self._path, msgspec.json.encode(list(kept)))


def new_cookie() -> str:
    """Return 256 random bits."""
    return secrets.token_urlsafe(32)


def csrf_of(cookie: str) -> str:
    """Return the CSRF token of this session's forms; it does not reveal the cookie."""
    return hashlib.sha256(b"csrf " + cookie.encode(errors="replace")).hexdigest()


def _hash(cookie: str) -> str:
    return hashlib.sha256(cookie.encode(errors="replace")).hexdigest()


def _stored(session: LoginSession) -> _Stored:
    return _Stored(session.key, session.digest, session.owner, session.begun_at, session.used_at)
