"""Authenticates requests by bearer token, before the body is read.

Token files are reloaded when they change: added and revoked tokens take effect within
`LOOK_SECONDS`, without a restart.
"""

import hmac
from collections.abc import Callable, Mapping
from pathlib import Path

from aiohttp import web

from trading_ops import clock, logs
from trading_ops.api.tokens import FILE, Identity, Role, TokenEntry, digest_of, load
from trading_ops.bounded_site import trust
from trading_ops.config.settings import Settings
from trading_ops.errors import ConfigError
from trading_ops.logs.throttled import Seldom

log = logs.get(__name__)

LOOK_SECONDS = 1.0

LONGEST_PATH = 100
"""Maximum characters of a path in a log line."""

REFUSALS = ("no_token", "unknown_token", "role", "forged")
"""Why a request is rejected: no token, an invalid one, or a role that is too low; or a
cross-site request to the console."""

PLAIN: Mapping[str, Identity] = {
    "webhook_token": Identity("alertmanager", Role.INTAKE),
    "metrics_token": Identity("prometheus", Role.METRICS),
    "operator_token": Identity("local", Role.ADMIN),
}
"""Files with plain tokens, which local processes send."""


class Authenticator:
    """Maps token hashes to identities."""

    def __init__(
        self, settings: Settings, on_refused: Callable[[str], None] = lambda _reason: None
    ) -> None:
        """Read the tokens.

        Args:
            settings: for the paths of the files.
            on_refused: called with the reason of each rejected request, one of `REFUSALS`.

        Raises:
            ConfigError: one of the files is missing or invalid.
        """
        self._settings = settings
        self._on_refused = on_refused
        self._told = Seldom()
        self._stamps: dict[str, object] = {}
        self._entries: dict[str, tuple[TokenEntry, ...]] = {}
        self._looked_at = clock.monotonic()
        for name in (*PLAIN, FILE):
            self._stamps[name] = _stamp(self._path(name))
            self._entries[name] = self._read(name)

    def identify(self, request: web.Request) -> Identity | None:
        """Return the identity of the token; None: missing, invalid, expired or revoked."""
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        found = self.whose(digest_of(given.strip()))
        if found is None or kind.lower() != "bearer" or not given.strip():
            return None
        trust(request)
        return found

    def whose(self, digest: str) -> Identity | None:
        """Return the identity of the token with this digest, or None if it no longer exists."""
        self._look_again()
        now = clock.now()
        found: Identity | None = None
        for entries in self._entries.values():
            for entry in entries:
                # Compare all, in constant time.
                if hmac.compare_digest(digest, entry.digest) and entry.is_valid(now):
                    found = entry.identity
        return found

    def note_refused(
        self, request: web.Request, role: str | None = None, *, reason: str | None = None
    ) -> None:
        """Count a rejected request; log one per reason and peer and minute.

        Args:
            request: the rejected request.
            role: of the identity, if the role was too low.
            reason: one of `REFUSALS`; by default derived from the header.
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
            # The file is being edited. Plain tokens stay valid, since Alertmanager drops what is
            # answered with 401; others are rejected until the file is valid (fail closed).
            if name not in PLAIN:
                self._entries[name] = ()
            log.error("tokens_unreadable", error=str(error))  # noqa: TRY400 - a user's error
        else:
            log.info("tokens_read", file=name, tokens=len(self._entries[name]))

    def _read(self, name: str) -> tuple[TokenEntry, ...]:
        if name not in PLAIN:
            return load(self._path(name))
        return tuple(
            TokenEntry(identity=PLAIN[name], digest=digest_of(token))
            for token in self._settings.accepted_secrets(name)
        )

    def _path(self, name: str) -> Path:
        return self._settings.secrets / name


def _stamp(path: Path) -> object:
    """Return a marker that changes with the file."""
    try:
        status = path.stat()
    except OSError:
        return None
    # A changed mode changes neither mtime nor size.
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_mode
