"""API tokens: their roles and identities, and the file `secrets/api_tokens` that stores hashes.

Roles go from viewer (reads) over operator (acts) to admin (resumes trading).

One token per line: name, role, SHA-256 in hexadecimal, and expiry (RFC 3339) or `-`. Empty lines
and lines that start with # are ignored. A name may have two lines, for rotation. Anyone who can
write the file is effectively an admin; its mode is 0600.
"""

import hashlib
import re
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from trading_ops import durable
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
