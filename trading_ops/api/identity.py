"""Who asks, and what that allows. Roles grow: a viewer reads, an operator acts, an admin undoes."""

import re
from dataclasses import dataclass
from enum import StrEnum

_BY_TOKEN = re.compile(r"\(token ([^()\s]+)\)$")


class Role(StrEnum):
    """What a token is good for, and what a route asks for."""

    ANYONE = "anyone"
    """Of routes only: no token is needed."""

    INTAKE = "intake"
    """Hands notifications in, and nothing else."""

    METRICS = "metrics"
    """Reads `/metrics` and `/metrics/vital`, and nothing else."""

    VIEWER = "viewer"
    """Reads everything."""

    OPERATOR = "operator"
    """Does whatever makes things safer or can be done again without harm."""

    ADMIN = "admin"
    """Everything: resumes trading, resets budgets, orders one-shots."""


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
    """Whoever a token belongs to."""

    name: str
    role: Role

    def may(self, needed: Role) -> bool:
        """Whether it opens a route of this role."""
        return needed is Role.ANYONE or self.role in _OPENED_BY[needed]

    def actor(self, owner: str | None = None) -> str:
        """Return who did it, for the story: the token's name, and the person behind it if told."""
        if owner is None or owner == self.name:
            return self.name
        return f"{owner} (token {self.name})"


def token_of(actor: str) -> str:
    """Return the name of the token behind an actor: whoever holds one token is one person."""
    found = _BY_TOKEN.search(actor)
    return found.group(1) if found else actor
