"""The lease: one database row with the instance that leads, and the end of the lease.

The row has a fencing token that rises at each takeover. The leader presents it in every transaction
of the records. At the venue, nonces do the same: a new leader starts above all that the old one can
have used.

The end of the lease is by the database's clock. The leader measures its age from *before* the
renewal was sent, on a clock that runs through freezes and suspends. So it never relies on a longer
lease than the database granted, and a process that was frozen sees at its first check that the
lease is over.
"""

from collections.abc import Callable
from dataclasses import dataclass

from trading_ops import clock
from trading_ops.botkit.leadership.connection import BoundedConnection
from trading_ops.botkit.records.events import LEASE_ACQUIRED, Event, EventLogKind, add_events
from trading_ops.botkit.records.sql import Session
from trading_ops.errors import StoreError

READ = """
SELECT holder, token, ends_at - extract(epoch FROM clock_timestamp())::double precision
FROM lease WHERE id = 1
"""
TAKE = """
UPDATE lease SET holder = ?, token = token + 1,
    ends_at = extract(epoch FROM clock_timestamp())::double precision + ?
WHERE id = 1
"""
RENEW = """
UPDATE lease SET ends_at = extract(epoch FROM clock_timestamp())::double precision + ?
WHERE id = 1 AND token = ? AND holder = ?
"""
RELEASE = "UPDATE lease SET ends_at = 0 WHERE id = 1 AND token = ? AND holder = ?"
ANNOUNCE_STANDBY = """
INSERT INTO facts (name, value, at)
VALUES ('standby', ?, extract(epoch FROM clock_timestamp())::double precision)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at
"""
READ_STANDBY = """
SELECT value, extract(epoch FROM clock_timestamp())::double precision - at
FROM facts WHERE name = 'standby'
"""
FENCE = "SELECT 1 FROM lease WHERE id = 1 AND token = ? AND holder = ? FOR KEY SHARE"


ANNOUNCE_SECONDS = 2.0
"""How often a standby announces that it watches; after three intervals it counts as gone."""


class LeaseLost(StoreError):
    """Another instance has taken the lease over; this process never gets it back."""


@dataclass(frozen=True, kw_only=True)
class LeaseRow:
    """The content of the row."""

    holder: str | None
    token: int
    left_seconds: float
    """Until the lease ends, by the database's clock; negative after its end."""


class Lease:
    """This instance's view of the lease row."""

    def __init__(
        self,
        connection: BoundedConnection,
        *,
        holder: str,
        seconds: float,
        margin_seconds: float,
        boottime: Callable[[], float] = clock.boottime,
    ) -> None:
        """Start without the lease.

        Args:
            connection: to the database.
            holder: unique to this process: no other instance and no earlier run has it.
            seconds: how long a renewal lasts.
            margin_seconds: how long before the end the lease is no longer valid for submitting.
            boottime: returns seconds on a clock that runs through freezes and suspends.
        """
        self.holder = holder
        self._connection = connection
        self._seconds = seconds
        self._usable = seconds - margin_seconds
        self._boottime = boottime
        self._token: int | None = None
        self._requested_at = 0.0
        self._announced_at = -ANNOUNCE_SECONDS

    @property
    def token(self) -> int | None:
        """Return the fencing token, None before this instance had the lease."""
        return self._token

    @property
    def age_seconds(self) -> float:
        """Return the time since just before the last renewal was sent."""
        return self._boottime() - self._requested_at

    @property
    def valid(self) -> bool:
        """Return whether this instance may submit now; safe to call from any thread."""
        return self._token is not None and self.age_seconds < self._usable

    async def take(self) -> bool:
        """Take the lease if it is free; return whether this instance has it now.

        Raises:
            StoreError: it is not known whether it was taken; the next call finds out.
        """
        requested_at = self._boottime()
        token = await self._connection.transact(self._take)
        if token is None:
            return False
        self._requested_at, self._token = requested_at, token
        return True

    async def renew(self) -> None:
        """Extend the lease by its full length from now.

        A lease that expired and that no other instance took is renewed as well.

        Raises:
            LeaseLost: another instance has it.
            StoreError: it is not known whether it was renewed.
        """
        requested_at = self._boottime()
        if not await self._connection.transact(self._renew):
            raise LeaseLost("another instance has taken over")
        self._requested_at = requested_at

    async def release(self) -> None:
        """Release the lease, so that another instance can take over at once.

        Raises:
            StoreError: it could not be written; the lease then expires.
        """
        token, self._token = self._token, None
        if token is not None:
            await self._connection.transact(lambda session: self._release(session, token))

    async def standby(self) -> str | None:
        """Return the holder name of an instance that watches as a standby, None if there is none.

        Raises:
            StoreError: it could not be read.
        """
        found = await self._connection.transact(lambda session: session.execute(READ_STANDBY).one())
        if found is None or found[0] == self.holder or found[1] > 3 * ANNOUNCE_SECONDS:
            return None
        return str(found[0])

    def fence(self, session: Session) -> None:
        """Fail a transaction of the records unless this instance holds the lease.

        It takes the weakest row lock: a takeover waits until the transaction ends, a renewal does
        not.

        Raises:
            StoreError: this instance never had the lease.
            LeaseLost: another instance has taken it over.
        """
        if self._token is None:
            raise StoreError("this instance is a standby: it does not use the records")
        if session.execute(FENCE, (self._token, self.holder)).one() is None:
            raise LeaseLost("another instance has taken over: this one writes no more records")

    def _take(self, session: Session) -> int | None:
        found = _read(session)
        if found.left_seconds > 0:
            if found.holder != self.holder:
                self._announce(session)
            return self._taken_before(session, found)
        found = _read(session, " FOR UPDATE")  # after the last transaction of the old leader
        if found.left_seconds > 0:
            return None
        session.execute(TAKE, (self.holder, self._seconds))
        detail = {"holder": self.holder, "from": found.holder, "token": found.token + 1}
        event = Event(
            at=clock.timestamp(), kind=EventLogKind.RECOVERY, code=LEASE_ACQUIRED, detail=detail
        )
        add_events(session, [event])
        return found.token + 1

    def _announce(self, session: Session) -> None:
        now = self._boottime()
        if now - self._announced_at >= ANNOUNCE_SECONDS:
            session.execute(ANNOUNCE_STANDBY, (self.holder,))
            self._announced_at = now

    def _taken_before(self, session: Session, found: LeaseRow) -> int | None:
        """Return the token if this instance took the lease and the answer was lost."""
        if found.holder != self.holder:
            return None
        renewed = session.execute(RENEW, (self._seconds, found.token, self.holder))
        return found.token if renewed.count else None

    def _renew(self, session: Session) -> bool:
        if self._token is None:
            raise StoreError("this instance has no lease to renew")
        changed = session.execute(RENEW, (self._seconds, self._token, self.holder))
        return changed.count == 1

    def _release(self, session: Session, token: int) -> None:
        session.execute(RELEASE, (token, self.holder))


def _read(session: Session, lock: str = "") -> LeaseRow:
    row = session.execute(READ + lock).one()
    if row is None:
        raise StoreError("the lease row is missing. Fix: restore the records")
    return LeaseRow(holder=row[0], token=int(row[1]), left_seconds=float(row[2]))
