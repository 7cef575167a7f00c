"""The plan of one process: how to start it, and how to check that it is ready."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trading_ops.domain.target import Restarts

READY_SECONDS = 30.0
"""Timeout for readiness; a bot that loads its markets slowly needs about 10 s."""

STOP_SECONDS = 12.0
"""Seconds from SIGTERM to SIGKILL; a bot may take 10 to cancel its orders and save."""


@dataclass(frozen=True, kw_only=True)
class AskHttp:
    """Ready when a GET returns 200."""

    url: str
    token_file: Path | None = None
    """The bearer token, if required."""

    user: str = ""
    password_file: Path | None = None
    """User and password for HTTP Basic, if required."""

    not_yet: Mapping[str, str] = field(default_factory=dict)
    """Values in the JSON answer that mean "not ready", such as `status: failing`."""


@dataclass(frozen=True, kw_only=True)
class AskBanner:
    """Ready when the first line that the port sends starts with this."""

    address: str
    begins: str


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of the stack, as derived from settings and registry."""

    unit: str
    """Its name in the supervisor's log and API."""

    argv: tuple[str, ...]
    address: str
    """`host:port` where it answers, for display."""

    ready: AskHttp | AskBanner
    environment: tuple[str, ...] = ()
    """Environment variables in addition to the supervisor's, as NAME=value."""

    after: tuple[str, ...] = ()
    """Units that must be ready before it is started."""

    restarts: Restarts = Restarts.MANAGER
    """Owner of its restarts; the supervisor never restarts the reconciler's processes itself."""

    records: Path | None = None
    """A bot's database, which an update copies."""

    ready_seconds: float = READY_SECONDS
    stop_seconds: float = STOP_SECONDS
