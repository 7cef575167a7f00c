"""Starts and ends faults: the board, the store, the journal, and their effects."""

import uuid

import msgspec

from trading_ops import clock, logs
from trading_ops_lab.paper.venue.edge_middleware import Edge
from trading_ops_lab.paper.venue.faults import Fault, FaultBoard, FaultRequest
from trading_ops_lab.paper.venue.feed.hub import Feed
from trading_ops_lab.paper.venue.journal import Journal
from trading_ops_lab.paper.venue.listener import Listener
from trading_ops_lab.paper.venue.pairs import find_pair
from trading_ops_lab.paper.venue.prices import Walk
from trading_ops_lab.paper.venue.sessions import Sessions
from trading_ops_lab.paper.venue.store import Store

log = logs.get(__name__)


class FaultControl:
    """The one place where a fault starts or ends."""

    def __init__(
        self,
        *,
        board: FaultBoard,
        store: Store,
        journal: Journal,
        sessions: Sessions,
        edge: Edge,
        feed: Feed,
        listener: Listener,
        walk: Walk,
    ) -> None:
        """Share the venue's parts."""
        self.board, self._walk = board, walk
        self._store, self._journal, self._sessions = store, journal, sessions
        self._edge, self._feed, self._listener = edge, feed, listener

    def restore(self) -> None:
        """Restore stored faults at startup: dead sessions stay dead, other faults are over.

        A fault left by a drill must not break a restarted venue; a dead session affects only the
        client that keeps using it.
        """
        for fault_id, body in self._store.faults().items():
            fault = msgspec.json.decode(body, type=Fault)
            if fault.kind == "disconnect":
                self.board.active[fault.id] = fault
            else:
                self._store.save_fault(fault_id, None)
                self._journal.record(
                    "fault_cleared", id=fault_id, kind=fault.kind, reason="restart"
                )

    async def inject(self, request: FaultRequest) -> tuple[Fault, int]:
        """Start a fault; return it and the number of its journal entry.

        Raises:
            VenueRefusal: it names an unknown pair.
        """
        if request.pair:
            find_pair(request.pair)
        fault = self.board.inject(
            request,
            fault_id=str(uuid.uuid4()),
            now=clock.timestamp(),
            last_session=self._sessions.state.last,
            connections=self._feed.connections,
        )
        self._store.save_fault(fault.id, fault)
        seq = self._journal.record(
            "fault_injected",
            id=fault.id,
            kind=fault.kind,
            seconds=request.seconds,
            strikes=request.count,
            probability=request.probability,
        )
        self._journal.commit()
        log.info("fault_injected", id=fault.id, kind=fault.kind)
        if fault.kind == "disconnect":
            self._edge.kill_sessions()
        if fault.kind == "price_jump":
            self._walk.jump(fault.id, find_pair(fault.pair).base, fault.percent)
        await self._follow()
        return fault, seq

    async def clear(self, fault_ids: list[str]) -> list[str]:
        """End faults; return the ids of those that were active."""
        faults = [f for f in map(self.board.clear, fault_ids) if f is not None]
        await self._ended(faults, reason="cleared")
        return [fault.id for fault in faults]

    async def expire(self) -> None:
        """End the faults whose time or count is used up."""
        await self._ended(self.board.expire(clock.timestamp()), reason="expired")

    async def _ended(self, faults: list[Fault], *, reason: str) -> None:
        if not faults:
            return
        for fault in faults:
            self._walk.jumps.pop(fault.id, None)
            self._store.save_fault(fault.id, None)
            self._journal.record("fault_cleared", id=fault.id, kind=fault.kind, reason=reason)
            log.info("fault_cleared", id=fault.id, kind=fault.kind, reason=reason)
        self._journal.commit()
        if self.board.find("disconnect") is None:
            self._edge.forgive_sessions()
        await self._follow()

    async def _follow(self) -> None:
        """Apply the active faults to the sockets and the waiting requests."""
        if all(fault.kind != "hang" for fault in self.board.active.values()):
            self._edge.release()
        self._feed.publish_status()
        await self._listener.follow(refuse=self.board.find("refuse") is not None)
