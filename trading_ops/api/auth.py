"""Authenticates requests by bearer token, before the body is read.

Token files are reloaded when they change: added and revoked tokens take effect within
`LOOK_SECONDS`, without a restart.

Roles go from viewer (reads) over operator (acts) to admin (resumes trading). The file
`secrets/api_tokens` stores hashes. One token per line: name, role, SHA-256 in hexadecimal, and
expiry (RFC 3339) or `-`. Empty lines and lines that start with # are ignored. A name may have two
lines, for rotation. Anyone who can write the file is effectively an admin; its mode is 0600.
"""

import hashlib
import hmac
import re
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from aiohttp import web

from trading_ops import clock, durable, logs
from trading_ops.backoff import Seldom
from trading_ops.bounded_site import trust
from trading_ops.config.settings import Settings
from trading_ops.errors import ConfigError

_BY_TOKEN = re.compile(r"\(token ([^()\s]+)\)$")


class Role(StrEnum):
    """Role of a token, and the role that a route requires."""

    ANYONE = "anyone"
    """Routes only: no token needed."""

    INTAKE = "intake"
    """Only posts notifications."""

    METRICS = "metrics"
    """Only reads `/metrics` and `/metrics/vital`."""

    VIEWER = "viewer"
    """Reads everything."""

    OPERATOR = "operator"
    """Runs safe and idempotent actions."""

    ADMIN = "admin"
    """Everything: resumes trading, resets budgets, runs one-shot actions."""


TOKEN_ROLES = tuple(role for role in Role if role is not Role.ANYONE)

_PEOPLE = frozenset({Role.VIEWER, Role.OPERATOR, Role.ADMIN})
_OPENED_BY = {
    Role.INTAKE: frozenset({Role.INTAKE, Role.ADMIN}),
    Role.METRICS: _PEOPLE | {Role.METRICS},
    Role.VIEWER: _PEOPLE,
    Role.OPERATOR: frozenset({Role.OPERATOR, Role.ADMIN}),
    Role.ADMIN: frozenset({Role.ADMIN}),
}


@dataclass(frozen=True)
class Identity:
    """The owner of a token."""

    name: str
    role: Role

    def may(self, needed: Role) -> bool:
        """Whether it may use a route of this role."""
        return needed is Role.ANYONE or self.role in _OPENED_BY[needed]

    def actor(self, owner: str | None = None) -> str:
        """Return the actor for the audit log: the token's name, and the operator if given."""
        if owner is None or owner == self.name:
            return self.name
        return f"{owner} (token {self.name})"


def token_of(actor: str) -> str:
    """Return the token name of an actor: one token counts as one person."""
    found = _BY_TOKEN.search(actor)
    return found.group(1) if found else actor


FILE = "api_tokens"
PREFIX = "tops_"
TOKEN_BYTES = 32
TOKENS_A_NAME = 2
RESERVED = frozenset({"alertmanager", "local", "prometheus", "reconciler"})
"""Names of the local plain tokens' owners and of the reconciler itself."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.@-]{0,62}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FIELDS = 4
_ROLES = ", ".join(TOKEN_ROLES)


@dataclass(frozen=True, kw_only=True)
class TokenEntry:
    """One token: its identity and hash."""

    identity: Identity
    digest: str
    expires_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Whether it has not expired."""
        return self.expires_at is None or now < self.expires_at


def digest_of(token: str) -> str:
    """Return the hash of a token; 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def mint() -> str:
    """Return a new token: 256 random bits with a prefix for secret scanners."""
    return PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def load(path: Path) -> tuple[TokenEntry, ...]:
    """Return the tokens of the file; none if the file does not exist.

    Raises:
        ConfigError: it cannot be read, others can read it, or a line is invalid.
    """
    try:
        mode = path.stat().st_mode & 0o777
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeError) as error:
        raise ConfigError(str(path), "", str(error), "make it a readable text file") from error
    if mode & 0o077:
        problem = f"others can read or write it (mode {mode:o})"
        raise ConfigError(str(path), "", problem, f"chmod 600 {path}")
    return parse(text, str(path))


def parse(text: str, where: str) -> tuple[TokenEntry, ...]:
    """Parse the text of the file; `where` names it in errors.

    Raises:
        ConfigError: a line is invalid.
    """
    entries = [
        _entry(line, where, f"line {number}")
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    counted = Counter(entry.identity.name for entry in entries)
    for name, count in counted.items():
        if count > TOKENS_A_NAME:
            problem = f"{count} tokens; the maximum is two, for rotation"
            raise ConfigError(where, name, problem, "remove the lines of the old tokens")
        if len({entry.identity.role for entry in entries if entry.identity.name == name}) > 1:
            raise ConfigError(where, name, "it has two roles", "give each role a name of its own")
    return tuple(entries)


def _entry(line: str, where: str, key: str) -> TokenEntry:
    fields = line.split()
    if len(fields) != _FIELDS:
        fix = "write NAME ROLE SHA256 EXPIRES, where EXPIRES may be -"
        raise ConfigError(where, key, f"{len(fields)} fields instead of {_FIELDS}", fix)
    name, role, digest, expires = fields
    check_name(name, where, key)
    if role not in TOKEN_ROLES:
        raise ConfigError(where, key, f"unknown role {role!r}", f"one of {_ROLES}")
    if not _DIGEST.fullmatch(digest):
        # The line may contain the token itself: do not repeat it.
        fix = "create the token with `trading-ops token add`"
        raise ConfigError(where, key, "the third field is not a SHA-256 in hexadecimal", fix)
    identity = Identity(name, Role(role))
    return TokenEntry(identity=identity, digest=digest, expires_at=_moment(expires, where, key))


def check_name(name: str, where: str, key: str) -> None:
    """Check the name of a token's owner.

    Raises:
        ConfigError: it is invalid or reserved.
    """
    if not _NAME.fullmatch(name):
        fix = "use lower-case letters, digits and . @ _ -, at most 63"
        raise ConfigError(where, key, f"invalid name {name!r}", fix)
    if name in RESERVED:
        raise ConfigError(where, key, f"{name!r} is reserved", "use another name")


def _moment(text: str, where: str, key: str) -> datetime | None:
    if text == "-":
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        fix = "write it as 2026-12-31T00:00:00+00:00, or - for never"
        raise ConfigError(where, key, f"invalid expiry {text!r}", fix)
    return moment


def save(path: Path, entries: Sequence[TokenEntry]) -> None:
    """Rewrite the file atomically. Keeps comments.

    Raises:
        ConfigError: it cannot be written.
    """
    lines = [
        f"{entry.identity.name} {entry.identity.role} {entry.digest} "
        + (entry.expires_at.isoformat(timespec="seconds") if entry.expires_at else "-")
        for entry in entries
    ]
    try:
        old = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        comments = [line for line in old if line.lstrip().startswith("#")]
        text = "".join(f"{line}\n" for line in [*comments, *lines])
        durable.write(path, text.encode())
    except OSError as error:
        fix = "run `trading-ops up` once, as the user of the reconciler"
        raise ConfigError(str(path), "", str(error), fix) from error


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
