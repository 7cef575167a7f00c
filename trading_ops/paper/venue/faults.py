"""What is broken at the moment: the injected faults, without the effects."""

from typing import Annotated, Final, Literal, get_args

import msgspec

Kind = Literal["disconnect", "refuse", "hang", "http_5xx", "http_429", "slow", "stale_feed"]
KINDS: Final = get_args(Kind)


class FaultRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a drill asks for; `seconds` None lasts until cleared."""

    kind: Kind
    seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None
    code: Annotated[int, msgspec.Meta(ge=500, le=599)] = 503
    """Status of `http_5xx`."""

    delay_seconds: Annotated[float, msgspec.Meta(gt=0)] = 2.0
    """How long `slow` keeps each request waiting."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that was injected; times are epoch seconds."""

    id: str
    kind: Kind
    injected_at: float
    ends_at: float | None
    code: int
    delay_seconds: float
    sessions_until: int
    """`disconnect`: sessions up to this number are dead."""

    connections: frozenset[int]
    """`stale_feed`: these feed connections get no data."""


class FaultBoard:
    """The faults that are active, by id, in the order of their injection."""

    def __init__(self) -> None:
        """Begin with nothing broken."""
        self.active: dict[str, Fault] = {}

    def inject(
        self,
        request: FaultRequest,
        *,
        fault_id: str,
        now: float,
        last_session: int,
        connections: frozenset[int],
    ) -> Fault:
        """Add a fault that begins now.

        Args:
            request: what is wanted.
            fault_id: its new id.
            now: epoch seconds.
            last_session: the newest session's number.
            connections: the feed connections that are open.
        """
        fault = Fault(
            id=fault_id,
            kind=request.kind,
            injected_at=now,
            ends_at=None if request.seconds is None else now + request.seconds,
            code=request.code,
            delay_seconds=request.delay_seconds,
            sessions_until=last_session if request.kind == "disconnect" else 0,
            connections=connections if request.kind == "stale_feed" else frozenset(),
        )
        self.active[fault.id] = fault
        return fault

    def clear(self, fault_id: str) -> Fault | None:
        """End one fault; None when there is none of this id."""
        return self.active.pop(fault_id, None)

    def expire(self, now: float) -> list[Fault]:
        """End the faults whose time is over; return them."""
        over = [f for f in self.active.values() if f.ends_at is not None and f.ends_at <= now]
        for fault in over:
            del self.active[fault.id]
        return over

    def find(self, kind: Kind) -> Fault | None:
        """Return the newest active fault of a kind."""
        return next((f for f in reversed(self.active.values()) if f.kind == kind), None)

    def kills(self, session: int) -> bool:
        """Say whether an edge session is dead."""
        return any(fault.sessions_until >= session for fault in self.active.values())

    def silences(self, connection: int) -> bool:
        """Say whether a feed connection gets no data."""
        return any(connection in fault.connections for fault in self.active.values())
