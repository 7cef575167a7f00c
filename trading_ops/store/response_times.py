"""How incidents were answered: when first, by what, and when each ended. One query."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, exists, func, select

from trading_ops.domain.attempt import AttemptState
from trading_ops.store.tables import acknowledgements, attempts, incidents


@dataclass(frozen=True, kw_only=True)
class Response:
    """What one incident's times are made of."""

    alert: str
    opened_at: datetime
    attempted_at: datetime | None
    """When the first attempt started."""

    acknowledged_at: datetime | None
    """When an operator first acknowledged it."""

    escalated_at: datetime | None
    closed_at: datetime | None
    verified: bool
    """Whether an attempt of its runbook was seen to have helped."""


def of_incidents(connection: Connection, *, since: datetime, until: datetime) -> list[Response]:
    """Return how the incidents were answered that were opened in a span, its end left out."""
    mine = attempts.c.incident_id == incidents.c.id
    attempted = select(func.min(attempts.c.started_at)).where(mine).scalar_subquery()
    acknowledged = (
        select(func.min(acknowledgements.c.at))
        .where(acknowledgements.c.incident_id == incidents.c.id)
        .scalar_subquery()
    )
    verified = exists().where(
        mine, attempts.c.state == AttemptState.VERIFIED.value, attempts.c.ordered_by.is_(None)
    )
    statement = (
        select(
            incidents.c.alert,
            incidents.c.opened_at,
            attempted.label("attempted_at"),
            acknowledged.label("acknowledged_at"),
            incidents.c.escalated_at,
            incidents.c.closed_at,
            verified.label("verified"),
        )
        .where(incidents.c.opened_at >= since, incidents.c.opened_at < until)
        .order_by(incidents.c.opened_at)
    )
    return [Response(**row) for row in connection.execute(statement).mappings()]
