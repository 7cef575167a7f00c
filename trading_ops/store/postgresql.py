"""Connections to PostgreSQL with a timeout on everything. The driver is imported only here.

A server that is down, frozen or unreachable must be noticed within seconds, because clients of the
store (Alertmanager's webhook, an operator) wait for an answer. The timeouts, from the inside out:
the server ends statements that run or wait for a lock too long, and transactions whose client
stopped; the driver closes a connection without answers; the kernel closes one whose packets are not
acknowledged.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from sqlalchemy import URL, Engine, create_engine, event

from trading_ops import clock

T = TypeVar("T")

CONNECT_SECONDS = 5
POOL_SECONDS = 5
ANSWER_SECONDS = 8.0
"""Longer than the server's own statement timeout, so that the server reports it first."""

KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8_000,
}
LIMITS = {
    "statement_timeout": "5s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "10s",
}
WRITING = {
    # Set explicitly: with `off` a server acknowledges commits that a crash can lose.
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    **LIMITS,
}
READING = {
    "default_transaction_isolation": "repeatable read",
    "default_transaction_read_only": "on",
    **LIMITS,
}
MIGRATING = {
    **WRITING,
    # It waits for another replica's migration, and a large table takes a while.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}


LIFETIME_SECONDS = 3600.0
"""Age at which an idle connection is replaced: the server's process for it keeps what it cached,
and after a failover a pool would stay on the old address."""


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """Options of a connection pool."""

    name: str
    settings: Mapping[str, str]
    pool_size: int = 1
    overflow: int = 0
    answer_seconds: float | None = ANSWER_SECONDS
    lifetime_seconds: float = LIFETIME_SECONDS


def engine(url: URL, bounds: ConnectionLimits) -> Engine:
    """Return an engine; it reconnects automatically after its connections were lost."""
    made = create_engine(
        url,
        pool_size=bounds.pool_size,
        max_overflow=bounds.overflow,
        pool_timeout=POOL_SECONDS,
        pool_pre_ping=True,
        pool_recycle=bounds.lifetime_seconds,
        hide_parameters=True,
        connect_args=_arguments(url, bounds),
    )

    def connect(_dialect: object, _record: object, _args: object, given: dict[str, Any]) -> object:
        connection = _Connection.connect(**given)
        connection.answer_seconds = bounds.answer_seconds
        return connection

    event.listen(made, "do_connect", connect)
    return made


def _arguments(url: URL, bounds: ConnectionLimits) -> dict[str, str | int]:
    """Return the driver options that the URL does not set; the URL takes precedence."""
    ours: dict[str, str | int] = {
        "connect_timeout": CONNECT_SECONDS,
        "application_name": f"trading-ops {bounds.name}",
        # Of several hosts, the writable one; a standby's data may be stale.
        "target_session_attrs": "primary",
        **KEEPALIVE,
    }
    defaults = {name: value for name, value in ours.items() if name not in url.query}
    return defaults | {"options": _options(url, bounds.settings)}


def _options(url: URL, settings: Mapping[str, str]) -> str:
    """Return the server settings of a session; ours follow those of the URL and override them."""
    given = url.query.get("options", "")
    # A space must not end the value.
    escaped = {name: value.replace(" ", "\\ ") for name, value in settings.items()}
    ours = [f"-c {name}={value}" for name, value in escaped.items()]
    return " ".join([given if isinstance(given, str) else " ".join(given), *ours]).strip()


class _Connection(psycopg.Connection[Any]):
    """A connection that closes itself when the server stops answering."""

    answer_seconds: float | None = None

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **named: Any) -> T:
        """Run one exchange with the server like the driver's own, but with a timeout."""
        if self.answer_seconds is None:
            return super().wait(gen, *args, **named)
        limit = clock.monotonic() + self.answer_seconds
        try:
            return super().wait(_until(limit, gen), *args, **named)
        except NoAnswer:
            self.close()
            raise


class NoAnswer(psycopg.OperationalError):
    """The server does not answer: the outcome of the last statement is unknown."""


def _until(limit: float, exchange: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
    """Pass on what an exchange waits for; the driver wakes it ten times a second anyway."""
    ready = None  # a generator starts with None
    while True:
        try:
            wanted = exchange.send(ready)
        except StopIteration as done:
            result: T = done.value
            return result
        ready = yield wanted
        if not ready and clock.monotonic() > limit:
            raise NoAnswer("the server did not answer in time")
