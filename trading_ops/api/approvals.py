"""Approvals: what waits for a person's word, and giving it."""

from functools import partial

import msgspec

from trading_ops import clock, logs
from trading_ops.api.identity import Identity, token_of
from trading_ops.api.problems import not_found
from trading_ops.api.request_parsing import Key, Limit, Person
from trading_ops.domain.approval import Approval, ApprovalState
from trading_ops.errors import OrderRefused
from trading_ops.store import approvals
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

log = logs.get(__name__)


class ApprovalQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which requests."""

    state: ApprovalState | None = None
    incident: Key | None = None
    limit: Limit = 100


class Answer(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who answers."""

    owner: Person | None = None


class ApprovalPage(msgspec.Struct, kw_only=True):
    """Requests, newest first."""

    approvals: list[Approval]


class Approvals:
    """What the routes under `approvals` do."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def search(self, query: ApprovalQuery) -> ApprovalPage:
        """Return requests for approval, newest first."""
        find = partial(
            approvals.search, state=query.state, incident_id=query.incident, limit=query.limit
        )
        return ApprovalPage(approvals=await self._reader.read(find))

    async def approve(self, identity: Identity, id: str, body: Answer) -> Approval:  # noqa: A002
        """Approve a request: good for one start, of exactly what it shows, for ten minutes."""
        asked = await self._find(id)
        if token_of(asked.requested_by) == identity.name:
            # Whoever holds the token could name anybody as the owner.
            raise OrderRefused(
                f"{asked.requested_by} asked for it: another token must approve it; at the command "
                "line give `--token-file PATH`, see `trading-ops token add`"
            )
        owner = identity.actor(body.owner)
        order = partial(approvals.approve, key=asked.id, owner=owner, now=clock.now())
        given = await self._writer.run(order)
        log.info("approved", approval=given.id, action=given.action, target=given.target, by=owner)
        return given

    async def deny(self, identity: Identity, id: str, body: Answer) -> Approval:  # noqa: A002
        """Deny a request; also one's own, which takes it back."""
        asked = await self._find(id)
        owner = identity.actor(body.owner)
        order = partial(approvals.deny, key=asked.id, owner=owner, now=clock.now())
        given = await self._writer.run(order)
        log.info("denied", approval=given.id, action=given.action, target=given.target, by=owner)
        return given

    async def _find(self, key: str) -> Approval:
        found = await self._reader.read(partial(approvals.find, key=key))
        if found is None:
            not_found("no request has this id, or several begin with it")
        return found
