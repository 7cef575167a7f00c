"""Reads open incidents in full, for tests; the reconciler itself reads only summaries."""

from sqlalchemy import select

from trading_ops.domain.incident import Incident
from trading_ops.store import Connection
from trading_ops.store.tables import incidents


def open_incidents(connection: Connection) -> list[Incident]:
    """Return all open incidents, oldest first."""
    statement = select(incidents).where(incidents.c.closed_at.is_(None))
    rows = connection.execute(statement.order_by(incidents.c.opened_at)).mappings()
    return [Incident(**row) for row in rows]
