"""Reads a bot's records from outside, whether the bot runs or not."""

from collections.abc import Callable
from typing import TypeVar

from trading_ops.botkit.records.sql import Session
from trading_ops.botkit.records.sqlite import read_only
from trading_ops.errors import ConfigError
from trading_ops_lab.paper.bot.config import BotConfig, read_secret

Result = TypeVar("Result")


def read(config: BotConfig, work: Callable[[Session], Result]) -> Result | None:
    """Read a bot's records, local or shared; return None if there are none yet.

    Raises:
        StoreError: the records cannot be read.
        ConfigError: the file with the database URL cannot be read.
    """
    if config.records is not None:
        return _on_server(read_secret(config.records.url_file), config.name, work)
    path = config.state_dir / "bot.db"
    return read_only(path, work) if path.exists() else None


def _on_server(url: str, bot: str, work: Callable[[Session], Result]) -> Result:
    try:
        from trading_ops.botkit.records.postgresql import (  # noqa: PLC0415 - only where needed
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
