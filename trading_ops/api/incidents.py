"""Incidents for people and programs: the list, and the whole story of one."""

from datetime import UTC, datetime
from functools import partial

from aiohttp import web

from trading_ops.api.body import answer
from trading_ops.reconciler.story import read_story
from trading_ops.store import incidents
from trading_ops.store.reader import Reader

LIMIT = 1000


class Incidents:
    """Read-only views."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def search(self, request: web.Request) -> web.Response:
        """Return incidents, newest first; filters: open, target, alertname, since, limit."""
        query = request.query
        try:
            since = query.get("since")
            limit = min(int(query.get("limit", "100")), LIMIT)
            moment = datetime.fromtimestamp(float(since), tz=UTC) if since else None
        except (ValueError, OverflowError, OSError) as error:
            raise web.HTTPUnprocessableEntity(
                text="since is seconds since the epoch, limit a whole number"
            ) from error
        found = await self._reader.read(
            partial(
                incidents.search,
                only_open=query.get("open") == "true",
                target=query.get("target"),
                alert=query.get("alertname"),
                since=moment,
                limit=limit,
            )
        )
        return answer({"incidents": found})

    async def show(self, request: web.Request) -> web.Response:
        """Return one incident with its attempts and everything that was decided and done."""
        key = request.match_info["id"]
        story = await self._reader.read(partial(read_story, key=key))
        if story is None:
            raise web.HTTPNotFound(text="no incident has this id, or several begin with it")
        return answer(story)
