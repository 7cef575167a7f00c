"""What deciding needs of incidents: no labels but `severity`, and no annotations.

Those are most of the memory in a storm. Only an escalated incident of a registered target keeps its
labels: the metric on which a rule pages needs them.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    CursorResult,
    Select,
    and_,
    bindparam,
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

# Built once: building a statement costs more than running it.
_SELECT = select(*_BRIEF, _SEVERITY, _ESCALATED)
_IDS = incidents.c.id.in_(bindparam("ids", expanding=True))


class _Statements(NamedTuple):
    """One statement for all incidents, and one for some of them."""

    of_all: Select[Any]
    of_some: Select[Any]


def _both(statement: Select[Any]) -> _Statements:
    return _Statements(statement, statement.where(_IDS))


_OPEN = _both(
    _SELECT.where(incidents.c.closed_at.is_(None)).order_by(incidents.c.opened_at, incidents.c.id)
)
_CLOSED = _both(
    _SELECT.where(incidents.c.closed_at > bindparam("since")).order_by(
        incidents.c.closed_at, incidents.c.id
    )
)


def _same_alert_before() -> Select[Any]:
    former = incidents.alias()
    opened = type_coerce(incidents.c.opened_at, BigInteger)
    began = type_coerce(former.c.opened_at, BigInteger)
    forgiven = type_coerce(fences.c.forgiven_at, BigInteger)
    return (
        select(incidents.c.id, func.count().label("number"))
        .join(former, former.c.fingerprint == incidents.c.fingerprint)
        .outerjoin(fences, fences.c.target == incidents.c.target)
        .where(began > opened - bindparam("window", type_=BigInteger()), began <= opened)
        .where(forgiven.is_(None) | (began > forgiven))
        .group_by(incidents.c.id)
    )


_EPISODES = _Statements(
    _same_alert_before().where(incidents.c.closed_at.is_(None)), _same_alert_before().where(_IDS)
)


def brief(connection: Connection, only: Collection[str] | None = None) -> list[Incident]:
    """Return open incidents, oldest first, with no label but `severity`.

    Args:
        connection: to read from.
        only: ids; None for all. An incident that is closed is not returned.
    """
    return _of(connection, _OPEN, only, {})


def closed_since(
    connection: Connection, since: datetime, only: Collection[str] | None = None
) -> list[Incident]:
    """Return the incidents that were closed after a moment, with no label but `severity`.

    Args:
        connection: to read from.
        since: that moment.
        only: ids; None for all. An incident that is open is not returned.
    """
    return _of(connection, _CLOSED, only, {"since": since})


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
    microseconds = window // timedelta(microseconds=1)
    found: dict[str, int] = {}
    for rows in _rows(connection, _EPISODES, only, {"window": microseconds}):
        found |= {row.id: int(row.number) for row in rows}
    return found


def _of(
    connection: Connection,
    statements: _Statements,
    only: Collection[str] | None,
    given: Mapping[str, object],
) -> list[Incident]:
    found = []
    shared: dict[str | None, Mapping[str, str]] = {None: _NOTHING}
    for rows in _rows(connection, statements, only, given):
        for row in rows.mappings():
            values = dict(row)
            severity = values.pop("severity")
            escalated = values.pop("escalated_labels")
            labels = escalated or shared.setdefault(severity, {"severity": severity})
            found.append(Incident(**values, labels=labels, annotations=_NOTHING))
    return found


def _rows(
    connection: Connection,
    statements: _Statements,
    only: Collection[str] | None,
    given: Mapping[str, object],
) -> Iterator[CursorResult[Any]]:
    if only is None:
        yield connection.execute(statements.of_all, dict(given))
        return
    ids = sorted(only)
    for begin in range(0, len(ids), CHUNK):
        chunk = {"ids": ids[begin : begin + CHUNK]}
        yield connection.execute(statements.of_some, {**given, **chunk})
