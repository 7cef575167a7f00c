"""Builds the PostgreSQL sources; the driver is imported only if one is configured."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from trading_ops.errors import SetupError
from trading_ops.exporter.config import PostgresqlEntry

if TYPE_CHECKING:
    from trading_ops.exporter.databases.postgresql.source import Postgresql, PostgresqlStorage


def postgresql_sources(
    entries: Sequence[PostgresqlEntry],
) -> "Sequence[Postgresql | PostgresqlStorage]":
    """Return two sources for each database; nothing is connected yet.

    Raises:
        SetupError: the driver is not installed.
    """
    if not entries:
        return ()
    if not find_spec("psycopg"):
        raise SetupError(
            "PostgreSQL's driver is not installed: pip install 'trading-ops[postgresql]'"
        )
    from trading_ops.exporter.databases.postgresql import source  # noqa: PLC0415 - see above

    kinds = (source.Postgresql, source.PostgresqlStorage)
    return [kind(entry) for entry in entries for kind in kinds]
