"""What the supervisor must know of one process: how to start it, and how to ask if it is ready."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trading_ops.domain.target import Restarts

READY_SECONDS = 30.0
"""Timeout for readiness; a bot that loads its markets slowly needs about 10 s."""

STOP_SECONDS = 12.0
"""Until it is killed after SIGTERM; a bot may take 10 to cancel its orders and save."""


@dataclass(frozen=True, kw_only=True)
class AskHttp:
    """Ready when a GET is answered with 200."""

    url: str
    token_file: Path | None = None
    """The bearer token to show, if it wants one."""

    user: str = ""
    password_file: Path | None = None
    """The user and password for HTTP Basic, if it wants them."""

    not_yet: Mapping[str, str] = field(default_factory=dict)
    """Values in the JSON answer that mean “not yet”, such as `status: failing`."""


@dataclass(frozen=True, kw_only=True)
class AskBanner:
    """Ready when the first line that the port sends starts with this."""

    address: str
    begins: str


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of the stack, as derived from settings and registry."""

    unit: str
    """Its name at the supervisor; the log and the API call it so."""

    argv: tuple[str, ...]
    address: str
    """`host:port` where it answers, for display."""

    ready: AskHttp | AskBanner
    environment: tuple[str, ...] = ()
    """Variables that it gets beside those of the supervisor, as NAME=value."""

    after: tuple[str, ...] = ()
    """Units that must be ready before it is started."""

    restarts: Restarts = Restarts.MANAGER
    """Who orders its restarts; the supervisor never restarts one of the reconciler's on its own."""

    records: Path | None = None
    """A bot's database, of which an update keeps a copy."""

    ready_seconds: float = READY_SECONDS
    stop_seconds: float = STOP_SECONDS
