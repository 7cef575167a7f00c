"""The lease: one row that says which instance leads, and until when by the database's clock.

Its token rises at each takeover. Whoever leads shows it in every transaction of the records, and
the venue has its own: nonces, which a new leader begins above all that the old one can have used.

The leader judges its lease by its own clock, from *before* the renewal was sent, on a clock that no
freeze and no suspend holds up. So it never believes in more than the database gave, and a process
that was frozen sees with its first look that its time is over.
"""

from collections.abc import Callable
from dataclasses import dataclass

from trading_ops import clock
from trading_ops.botkit.leadership.line import Line
from trading_ops.botkit.records.events import Event, EventKind, add_events
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
WATCHES = """
INSERT INTO facts (name, value, at)
VALUES ('standby', ?, extract(epoch FROM clock_timestamp())::double precision)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at
"""
WATCHED = """
SELECT value, extract(epoch FROM clock_timestamp())::double precision - at
FROM facts WHERE name = 'standby'
"""
SHOWN = "SELECT 1 FROM lease WHERE id = 1 AND token = ? AND holder = ? FOR KEY SHARE"


WATCH_SECONDS = 2.0
"""Interval at which a standby leaves word that it watches; three of them are its time."""


class Replaced(StoreError):
    """Another instance has taken the lease over; this one never gets it back."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the row says."""

    holder: str | None
    token: int
    left_seconds: float
    """Until the lease ends, by the database's clock; below zero it is over."""


class Lease:
    """This instance's word on the one row."""

    def __init__(
        self,
        line: Line,
        *,
        holder: str,
        seconds: float,
        margin_seconds: float,
        boottime: Callable[[], float] = clock.boottime,
    ) -> None:
        """Hold nothing yet.

        Args:
            line: to the database.
            holder: a name that no other instance has, nor an earlier life of this one.
            seconds: that a renewal lasts.
            margin_seconds: so long before the end nothing is submitted any more.
            boottime: seconds on a clock that nothing holds up.
        """
        self.holder = holder
        self._line = line
        self._seconds = seconds
        self._usable = seconds - margin_seconds
        self._boottime = boottime
        self._token: int | None = None
        self._asked_at = 0.0
        self._told_at = -WATCH_SECONDS

    @property
    def token(self) -> int | None:
        """Return the token of this instance's lease, None before it had one."""
        return self._token

    @property
    def age_seconds(self) -> float:
        """Return the time since before the last renewal was sent."""
        return self._boottime() - self._asked_at

    @property
    def stands(self) -> bool:
        """Say whether something may be submitted now; plain reads, so any thread may ask."""
        return self._token is not None and self.age_seconds < self._usable

    async def take(self) -> bool:
        """Take the lease if nobody has one; return whether it is this instance's now.

        Raises:
            StoreError: it is not known whether it was taken; the next try finds out.
        """
        asked_at = self._boottime()
        token = await self._line.ask(self._take)
        if token is None:
            return False
        self._asked_at, self._token = asked_at, token
        return True

    async def renew(self) -> None:
        """Have the lease begin anew.

        One that ran out while nobody took it is still this instance's.

        Raises:
            Replaced: another instance has it.
            StoreError: it is not known to be renewed.
        """
        asked_at = self._boottime()
        if not await self._line.ask(self._renew):
            raise Replaced("another instance has taken over")
        self._asked_at = asked_at

    async def release(self) -> None:
        """Give it up, so that another instance takes over at once.

        Raises:
            StoreError: it could not be said; the lease then runs out.
        """
        token, self._token = self._token, None
        if token is not None:
            await self._line.ask(lambda session: self._end(session, token))

    async def watcher(self) -> str | None:
        """Return which other instance watches the lease as its standby; None: nobody does.

        Raises:
            StoreError: it is not known.
        """
        found = await self._line.ask(lambda session: session.execute(WATCHED).one())
        if found is None or found[0] == self.holder or found[1] > 3 * WATCH_SECONDS:
            return None
        return str(found[0])

    def guard(self, session: Session) -> None:
        """Let a transaction of the records go on only while no other instance leads.

        The lock is the weakest: it keeps a takeover waiting until the transaction is over, and a
        renewal not.

        Raises:
            StoreError: this instance does not lead.
        """
        if self._token is None:
            raise StoreError("this instance is a standby: it does not use the records")
        if session.execute(SHOWN, (self._token, self.holder)).one() is None:
            raise Replaced("another instance has taken over: nothing is written any more")

    def _take(self, session: Session) -> int | None:
        found = _read(session)
        if found.left_seconds > 0:
            if found.holder != self.holder:
                self._watch(session)
            return self._taken_before(session, found)
        found = _read(session, " FOR UPDATE")  # after the last transaction of the old leader
        if found.left_seconds > 0:
            return None
        session.execute(
            TAKE,
            (self.holder, self._seconds),
        )
        told = {"holder": self.holder, "from": found.holder, "token": found.token + 1}
        event = Event(
            at=clock.timestamp(), kind=EventKind.RECOVERY, code="lease_taken", detail=told
        )
        add_events(session, [event])
        return found.token + 1

    def _watch(self, session: Session) -> None:
        now = self._boottime()
        if now - self._told_at >= WATCH_SECONDS:
            session.execute(WATCHES, (self.holder,))
            self._told_at = now

    def _taken_before(self, session: Session, found: Standing) -> int | None:
        """Return the token if this instance took the lease, and the answer to that was lost."""
        if found.holder != self.holder:
            return None
        renewed = session.execute(RENEW, (self._seconds, found.token, self.holder))
        return found.token if renewed.count else None

    def _renew(self, session: Session) -> bool:
        if self._token is None:
            raise StoreError("this instance has no lease to renew")
        changed = session.execute(
            RENEW,
            (self._seconds, self._token, self.holder),
        )
        return changed.count == 1

    def _end(self, session: Session, token: int) -> None:
        session.execute(RELEASE, (token, self.holder))


def _read(session: Session, lock: str = "") -> Standing:
    row = session.execute(READ + lock).one()
    if row is None:
        raise StoreError("the lease's row is gone. Fix: restore the records")
    return Standing(holder=row[0], token=int(row[1]), left_seconds=float(row[2]))
