"""Incidents for people and programs: the list, and the whole story of one."""

from datetime import datetime
from functools import partial
from typing import Annotated

import msgspec

from trading_ops.api.asked import Key, Limit
from trading_ops.api.problems import not_found
from trading_ops.domain.incident import Incident
from trading_ops.reconciler.story import Story, read_story
from trading_ops.store import incidents
from trading_ops.store.reader import Reader

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class IncidentQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which incidents."""

    open: bool = False
    target: Key | None = None
    alertname: Key | None = None
    since: Moment | None = None
    limit: Limit = 100


class IncidentPage(msgspec.Struct, kw_only=True):
    """Incidents, newest first."""

    incidents: list[Incident]


class Incidents:
    """Read-only views."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def search(self, query: IncidentQuery) -> IncidentPage:
        """Return incidents, newest first."""
        search = partial(
            incidents.search,
            only_open=query.open,
            target=query.target,
            alert=query.alertname,
            since=query.since,
            limit=query.limit,
        )
        return IncidentPage(incidents=await self._reader.read(search))

    async def show(self, id: str) -> Story:  # noqa: A002 - as it is called in the path
        """Return one incident with its attempts and everything that was decided and done."""
        story = await self._reader.read(partial(read_story, key=id))
        if story is None:
            not_found("no incident has this id, or several begin with it")
        return story
