"""What deciding needs of incidents: no labels but `severity`, and no annotations.

Those are most of the memory in a storm. Only an escalated incident of a registered target keeps its
labels: the metric on which a rule pages needs them.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    func,
    select,
    type_coerce,
)

from trading_ops.domain.incident import Incident
from trading_ops.store.tables import fences, incidents

CHUNK = 500

_BRIEF = [
    column for column in incidents.c if column.name not in {"labels", "annotations", "close_reason"}
]
_SEVERITY = type_coerce(incidents.c.labels, JSON)["severity"].as_string().label("severity")
_ESCALATED = case(
    (
        and_(incidents.c.escalated_at.is_not(None), incidents.c.target.is_not(None)),
        incidents.c.labels,
    )
).label("escalated_labels")
_NOTHING: Mapping[str, str] = {}


def brief(connection: Connection, only: Collection[str] | None = None) -> list[Incident]:
    """Return open incidents, oldest first, with no label but `severity`.

    Args:
        connection: to read from.
        only: ids; None for all. An incident that is closed is not returned.
    """
    statement = select(*_BRIEF, _SEVERITY, _ESCALATED).where(incidents.c.closed_at.is_(None))
    statement = statement.order_by(incidents.c.opened_at, incidents.c.id)
    return _of(connection, statement, only)


def closed_since(
    connection: Connection, since: datetime, only: Collection[str] | None = None
) -> list[Incident]:
    """Return the incidents that were closed after a moment, with no label but `severity`.

    Args:
        connection: to read from.
        since: that moment.
        only: ids; None for all. An incident that is open is not returned.
    """
    statement = select(*_BRIEF, _SEVERITY, _ESCALATED).where(incidents.c.closed_at > since)
    statement = statement.order_by(incidents.c.closed_at, incidents.c.id)
    return _of(connection, statement, only)


def episodes(
    connection: Connection, window: timedelta, only: Collection[str] | None = None
) -> dict[str, int]:
    """Return how many incidents of its alert were opened within `window` before each open one.

    The incident itself counts; those before the last reset of the target's budgets do not. The
    window ends when the incident was opened, not now, so a flapping one stays flapping.

    Args:
        connection: to read from.
        window: how far to look back from each incident's beginning.
        only: ids of open incidents; None for all.
    """
    if only is None:
        return _episodes(connection, window, incidents.c.closed_at.is_(None))
    ids, found = sorted(only), dict[str, int]()
    for begin in range(0, len(ids), CHUNK):
        found |= _episodes(connection, window, incidents.c.id.in_(ids[begin : begin + CHUNK]))
    return found


def _episodes(
    connection: Connection, window: timedelta, which: ColumnElement[bool]
) -> dict[str, int]:
    former = incidents.alias()
    opened = type_coerce(incidents.c.opened_at, BigInteger)
    began = type_coerce(former.c.opened_at, BigInteger)
    forgiven = type_coerce(fences.c.forgiven_at, BigInteger)
    earliest = opened - window // timedelta(microseconds=1)
    statement = (
        select(incidents.c.id, func.count())
        .join(former, former.c.fingerprint == incidents.c.fingerprint)
        .outerjoin(fences, fences.c.target == incidents.c.target)
        .where(which, began > earliest, began <= opened)
        .where(forgiven.is_(None) | (began > forgiven))
        .group_by(incidents.c.id)
    )
    return {key: int(count) for key, count in connection.execute(statement)}


def _of(
    connection: Connection, statement: Select[Any], only: Collection[str] | None
) -> list[Incident]:
    if only is None:
        return _brief(connection, statement)
    ids, found = sorted(only), []
    for begin in range(0, len(ids), CHUNK):
        chunk = ids[begin : begin + CHUNK]
        found += _brief(connection, statement.where(incidents.c.id.in_(chunk)))
    return found


def _brief(connection: Connection, statement: Select[Any]) -> list[Incident]:
    found = []
    shared: dict[str | None, Mapping[str, str]] = {None: _NOTHING}
    for row in connection.execute(statement).mappings():
        values = dict(row)
        severity = values.pop("severity")
        escalated = values.pop("escalated_labels")
        labels = escalated or shared.setdefault(severity, {"severity": severity})
        found.append(Incident(**values, labels=labels, annotations=_NOTHING))
    return found
