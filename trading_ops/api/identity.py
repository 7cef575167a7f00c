"""Identities and roles, from viewer (reads) over operator (acts) to admin (resumes)."""

import re
from dataclasses import dataclass
from enum import StrEnum

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
