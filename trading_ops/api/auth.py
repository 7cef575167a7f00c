"""Which identity a request's token belongs to: known from its header, before the body is read.

The files are looked at again when they changed, so a token that was revoked or added counts within
`LOOK_SECONDS`, without a restart.
"""

import hmac
from collections.abc import Callable, Mapping
from pathlib import Path

from aiohttp import web

from trading_ops import clock, logs
from trading_ops.api.identity import Identity, Role
from trading_ops.api.token_file import FILE, Entry, digest_of, load
from trading_ops.bounded_site import trust
from trading_ops.config.settings import Settings
from trading_ops.errors import ConfigError
from trading_ops.logs.throttled import Seldom

log = logs.get(__name__)

LOOK_SECONDS = 1.0

LONGEST_PATH = 100
"""Characters of a path in a log line."""

REFUSALS = ("no_token", "unknown_token", "role", "forged")
"""Why a request is refused: it carries no token, one that is not valid, or one whose role is too
low; or another site sent it to the console through a browser that is logged in."""

PLAIN: Mapping[str, Identity] = {
    "webhook_token": Identity("alertmanager", Role.INTAKE),
    "metrics_token": Identity("prometheus", Role.METRICS),
    "operator_token": Identity("local", Role.ADMIN),
}
"""Files with the token itself, because somebody on this machine must be able to send it."""


class Authenticator:
    """Knows every token by its hash."""

    def __init__(
        self, settings: Settings, on_refused: Callable[[str], None] = lambda _reason: None
    ) -> None:
        """Read the tokens.

        Args:
            settings: where they are.
            on_refused: told why a request was refused, one of `REFUSALS`.

        Raises:
            ConfigError: one of the files is missing or wrong.
        """
        self._settings = settings
        self._on_refused = on_refused
        self._told = Seldom()
        self._stamps: dict[str, object] = {}
        self._entries: dict[str, tuple[Entry, ...]] = {}
        self._looked_at = clock.monotonic()
        for name in (*PLAIN, FILE):
            self._stamps[name] = _stamp(self._path(name))
            self._entries[name] = self._read(name)

    def identify(self, request: web.Request) -> Identity | None:
        """Return whose token the request carries, or None: missing, wrong, expired, revoked."""
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        found = self.whose(digest_of(given.strip()))
        if found is None or kind.lower() != "bearer" or not given.strip():
            return None
        trust(request)
        return found

    def whose(self, digest: str) -> Identity | None:
        """Return who owns the token with this digest, or None: no token has it any more."""
        self._look_again()
        now = clock.now()
        found: Identity | None = None
        for entries in self._entries.values():
            for entry in entries:
                # All are compared, so that the time tells nothing of which one was near.
                if hmac.compare_digest(digest, entry.digest) and entry.is_valid(now):
                    found = entry.identity
        return found

    def note_refused(
        self, request: web.Request, role: str | None = None, *, reason: str | None = None
    ) -> None:
        """Count a request that was refused, and log one of each kind and peer in a minute.

        Args:
            request: that was refused.
            role: of the identity, when its role was too low.
            reason: one of `REFUSALS`; by default what the request's header shows.
        """
        carried = request.headers.get("Authorization", "").strip()
        reason = reason or ("role" if role else "unknown_token" if carried else "no_token")
        self._on_refused(reason)
        if self._told.is_due(f"{reason} {request.remote}"):
            path = request.path[:LONGEST_PATH]
            log.warning("auth_refused", reason=reason, peer=request.remote, path=path, role=role)

    def _look_again(self) -> None:
        now = clock.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        for name in (*PLAIN, FILE):
            stamp = _stamp(self._path(name))
            if stamp != self._stamps[name]:
                self._stamps[name] = stamp
                self._reread(name)

    def _reread(self, name: str) -> None:
        try:
            self._entries[name] = self._read(name)
        except ConfigError as error:
            # A file in the middle of an edit. A plain token stays, since Alertmanager loses what is
            # answered with 401; the others are refused until the file is right: it fails closed.
            if name not in PLAIN:
                self._entries[name] = ()
            log.error("tokens_unreadable", error=str(error))  # noqa: TRY400 - a user's mistake
        else:
            log.info("tokens_read", file=name, tokens=len(self._entries[name]))

    def _read(self, name: str) -> tuple[Entry, ...]:
        if name not in PLAIN:
            return load(self._path(name))
        return tuple(
            Entry(identity=PLAIN[name], digest=digest_of(token))
            for token in self._settings.accepted_secrets(name)
        )

    def _path(self, name: str) -> Path:
        return self._settings.secrets / name


def _stamp(path: Path) -> object:
    """Return what changes whenever the file does."""
    try:
        status = path.stat()
    except OSError:
        return None
    # A mode that was tightened changes neither the file's time nor its size.
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_mode
