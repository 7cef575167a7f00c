"""Reads incidents directly from the database; kept apart because it imports SQLAlchemy."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

import msgspec

from trading_ops import clock
from trading_ops.clients.reconciler_views import (
    IncidentStatusView,
    ListedIncidentView,
    TimelineView,
)
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.incident import Incident
from trading_ops.domain.target import Selection
from trading_ops.reconciler.timeline import read_statuses, read_timeline
from trading_ops.reports.recovery_times import RecoveryTimes, recovery_times
from trading_ops.store import Connection
from trading_ops.store import incidents as stored
from trading_ops.store.reader import open_reader

T = TypeVar("T")


async def listed(
    settings: Settings,
    *,
    only_open: bool,
    target: str | None,
    selection: Selection,
    alert: str | None,
    limit: int,
) -> list[ListedIncidentView]:
    """Return stored incidents as the API lists them.

    Raises:
        StoreError: the database cannot be read.
        NothingSelected: no target has this team or host.
    """
    targets = None
    if selection:
        found = load_targets(settings.targets_file).select(selection)
        targets = [target.name for target in found]
    search = partial(
        stored.search,
        only_open=only_open,
        target=target,
        targets=targets,
        alert=alert,
        limit=limit,
    )
    return await _read(settings, partial(_listed, search=search))


async def timeline(settings: Settings, key: str) -> TimelineView | None:
    """Return the timeline of one stored incident.

    Raises:
        StoreError: the database cannot be read.
    """
    found = await _read(settings, partial(read_timeline, key=key))
    return _viewed(found, TimelineView | None)  # type: ignore[arg-type]


async def recovery(settings: Settings, *, since: datetime, until: datetime) -> RecoveryTimes:
    """Return response and recovery times.

    Raises:
        StoreError: the database cannot be read.
    """
    return await _read(settings, partial(recovery_times, since=since, until=until))


async def _read(settings: Settings, work: Callable[[Connection], T]) -> T:
    with open_reader(settings.database_url) as reader:
        return await reader.read(work)


def _listed(
    connection: Connection, search: Callable[[Connection], list[Incident]]
) -> list[ListedIncidentView]:
    found = search(connection)
    statuses = read_statuses(connection, found, now=clock.now())
    views = _viewed(found, list[ListedIncidentView])
    for view in views:
        if view.id in statuses:
            view.status = _viewed(statuses[view.id], IncidentStatusView)
    return views


def _viewed(value: object, kind: type[T]) -> T:
    """Return stored values in the API's form."""
    return msgspec.json.decode(msgspec.json.encode(value), type=kind)
