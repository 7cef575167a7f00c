"""Facts about a bot's health, and the status derived from them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """The health status of a bot."""

    OK = "ok"
    """The heartbeat is fresh and every component is up."""

    DEGRADED = "degraded"
    """Passes complete, but a component is down."""

    FAILING = "failing"
    """No pass completed within the heartbeat limit."""


@dataclass(frozen=True, kw_only=True)
class ComponentHealth:
    """Health of one supervised component."""

    up: bool
    last_success_at: float | None = None
    """Seconds since the epoch; None for never."""

    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Health:
    """Facts about the bot, collected without blocking."""

    heartbeat_at: float | None = None
    """Time of the last complete pass, seconds since the epoch; None: none in this process."""

    components: Mapping[str, ComponentHealth] = field(default_factory=dict)

    recovered: bool | None = None
    """Whether the startup reconciliation with the venue succeeded; None: the bot has none."""

    role: str | None = None
    """`leader` or `standby`, for a bot with several instances; None: it has one."""


def judge(health: Health, *, now: float, started_at: float, heartbeat_limit: float) -> Status:
    """Return the status.

    Args:
        health: reported by the bot.
        now: seconds since the epoch.
        started_at: start of the process, used instead of the heartbeat until the first one.
        heartbeat_limit: age in seconds from which a heartbeat is too old.
    """
    since = started_at if health.heartbeat_at is None else health.heartbeat_at
    if now - since > heartbeat_limit:
        return Status.FAILING
    if all(component.up for component in health.components.values()):
        return Status.OK
    return Status.DEGRADED


def as_json(health: Health) -> dict[str, Any]:
    """Return the bot's part of the answer to GET /health."""
    return {
        "heartbeat_at": health.heartbeat_at,
        "recovered": health.recovered,
        "role": health.role,
        "components": {name: asdict(part) for name, part in health.components.items()},
    }
