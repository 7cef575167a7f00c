"""Approvals: list, approve and deny requests."""

from functools import partial

import msgspec

from trading_ops import clock, logs
from trading_ops.api.auth import Identity, token_of
from trading_ops.api.requests import Key, Limit, Person, not_found
from trading_ops.domain.approval import Approval, ApprovalState
from trading_ops.errors import RequestRefused
from trading_ops.store import approvals
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

log = logs.get(__name__)


class ApprovalQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Filters of the list."""

    state: ApprovalState | None = None
    incident: Key | None = None
    limit: Limit = 100


class ApprovalRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who approves or denies."""

    owner: Person | None = None


class ApprovalPage(msgspec.Struct, kw_only=True):
    """Requests, newest first."""

    approvals: list[Approval]


class ApprovalRoutes:
    """Handlers of `approvals`."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def search(self, query: ApprovalQuery) -> ApprovalPage:
        """Return approval requests, newest first."""
        find = partial(
            approvals.search, state=query.state, incident_id=query.incident, limit=query.limit
        )
        return ApprovalPage(approvals=await self._reader.read(find))

    async def approve(self, identity: Identity, id: str, body: ApprovalRequest) -> Approval:  # noqa: A002
        """Approve a request: valid for one run of exactly what it shows, for ten minutes."""
        approval = await self._find(id)
        if token_of(approval.requested_by) == identity.name:
            # Compare tokens: `owner` is a claim of the client.
            raise RequestRefused(
                f"{approval.requested_by} requested it: approve it with another token; on the "
                "command line use `--token-file PATH`, see `trading-ops token add`"
            )
        owner = identity.actor(body.owner)
        change = partial(approvals.approve, key=approval.id, owner=owner, now=clock.now())
        given = await self._writer.run(change)
        log.info("approved", approval=given.id, action=given.action, target=given.target, by=owner)
        return given

    async def deny(self, identity: Identity, id: str, body: ApprovalRequest) -> Approval:  # noqa: A002
        """Deny a request, or withdraw your own."""
        approval = await self._find(id)
        owner = identity.actor(body.owner)
        change = partial(approvals.deny, key=approval.id, owner=owner, now=clock.now())
        given = await self._writer.run(change)
        log.info("denied", approval=given.id, action=given.action, target=given.target, by=owner)
        return given

    async def _find(self, key: str) -> Approval:
        found = await self._reader.read(partial(approvals.find, key=key))
        if found is None:
            not_found("no request matches this ID, or the prefix is ambiguous")
        return found
