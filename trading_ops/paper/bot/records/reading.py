"""Reads a bot's events from outside, also of one that does not run."""

from collections.abc import Callable
from typing import TypeVar

from trading_ops.errors import ConfigError, StoreError
from trading_ops.paper.bot.config import BotConfig, read_secret
from trading_ops.paper.bot.records.events import Event, EventKind, latest_events
from trading_ops.paper.bot.records.sql import Session
from trading_ops.paper.bot.records.sqlite import peek

Result = TypeVar("Result")


def events_of(config: BotConfig, *, kind: EventKind | None, number: int) -> list[Event]:
    """Return the newest events of a bot, oldest first.

    Raises:
        StoreError: the records cannot be read, or there are none yet.
        ConfigError: the address of the shared records cannot be read.
    """

    def work(session: Session) -> list[Event]:
        return latest_events(session, kind=kind, number=number)

    if config.records is None:
        path = config.state_dir / "bot.db"
        if not path.exists():
            raise StoreError(f"{path}: there are no records yet. Fix: start the bot once")
        return peek(path, work)[::-1]
    return _on_server(read_secret(config.records.url_file), config.name, work)[::-1]


def line_of(event: Event) -> dict[str, object]:
    """Return an event as it is printed: what is empty is left out."""
    fields = {
        "at": event.at,
        "kind": event.kind.value,
        "code": event.code,
        "symbol": event.symbol,
        "order": event.order_id,
        "detail": event.detail,
    }
    return {name: value for name, value in fields.items() if value not in (None, {})}


def _on_server(url: str, bot: str, work: Callable[[Session], Result]) -> Result:
    try:
        from trading_ops.paper.bot.records.postgresql import (  # noqa: PLC0415 - only where needed
            PostgresqlDriver,
        )
    except ImportError as error:
        fix = "install trading-ops[postgresql]"
        raise ConfigError("records", "url_file", str(error), fix) from error
    driver = PostgresqlDriver(url, bot)
    driver.open()
    try:
        return driver.transact(work)
    finally:
        driver.close()
