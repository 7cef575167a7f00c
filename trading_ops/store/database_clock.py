"""The time by which replicas agree."""

from datetime import UTC, datetime

from sqlalchemy import Connection, func, select


def database_now(connection: Connection, now: datetime) -> datetime:
    """Return the database server's time; SQLite has no server, so there it is the process's."""
    if connection.dialect.name != "postgresql":
        return now
    moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return moment.astimezone(UTC)
