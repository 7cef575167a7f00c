"""Holds that all instances of a bot share: a halt of the leader holds for whoever leads next.

What is laid or lifted at any instance is written to the records in the same command, and every
instance follows what is there. Laying needs no lease, as whoever says stop is right. An instance
that cannot read them does not begin to lead.
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

from trading_ops import logs
from trading_ops.agent.state import Hold, Holds, TradingState
from trading_ops.botkit.leadership.line import Line
from trading_ops.botkit.records.sql import Session
from trading_ops.errors import StoreError

log = logs.get(__name__)

KEPT_SECONDS = 90 * 86_400.0
"""For which a lifted hold is kept."""

OWN_FAULT = "agent"
"""Owner of the hold of an instance that cannot read its own file: it holds no other one."""

LAY = """
INSERT INTO holds (id, state, owner, reason, at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, owner = excluded.owner,
    reason = excluded.reason, at = excluded.at,
    lifted_at = NULL, lifted_by = NULL, lifted_for = NULL
WHERE (holds.lifted_at IS NOT NULL AND holds.at <> excluded.at)
    OR (holds.lifted_at IS NULL AND holds.state <> 'halted' AND excluded.state = 'halted')
"""
"""Of two with one id the stricter stands, and one that was lifted does not come back by itself."""

Row = tuple[Any, ...]


class SharedHolds:
    """This instance's holds and the shared ones."""

    def __init__(self, holds: Holds, *, telling: Line, following: Line) -> None:
        """Have what is laid and lifted here told from now on.

        Args:
            holds: of this instance's agent.
            telling: for the agent's thread, which must not wait for the loop.
            following: for the loop.
        """
        self._holds = holds
        self._telling = telling
        self._following = following
        holds.share(self)

    def laid(self, hold: Hold) -> None:
        """Write a hold down.

        Raises:
            OSError: another instance would not know of it.
        """
        self._tell(lambda session: _lay(session, hold))

    def lifted(self, holds: Collection[Hold], *, owner: str, reason: str, at: float) -> None:
        """Write down that holds were lifted.

        Raises:
            OSError: another instance would not know of it.
        """

        def lift(session: Session) -> None:
            for hold in holds:
                session.execute(
                    "UPDATE holds SET lifted_at = ?, lifted_by = ?, lifted_for = ?"
                    " WHERE id = ? AND lifted_at IS NULL",
                    (at, owner, reason, hold.id),
                )
            session.execute("DELETE FROM holds WHERE lifted_at < ?", (at - KEPT_SECONDS,))

        self._tell(lift)

    async def follow(self) -> None:
        """Take over what others laid and lifted, and tell what they do not know yet.

        Raises:
            StoreError: the shared holds cannot be read or written, or one here not be stored.
        """
        seen = self._holds.changes
        rows = await self._following.ask(_read)
        standing = [_hold(row) for row in rows if row[5] is None]
        lifted = [_lift(row) for row in rows if row[5] is not None]
        try:
            unshared = await asyncio.to_thread(self._holds.follow, standing, lifted, seen=seen)
        except OSError as error:
            raise StoreError(f"holds cannot be stored: {error}") from error
        untold = [hold for hold in unshared if hold.owner != OWN_FAULT]
        if untold:
            await self._following.ask(lambda session: _lay(session, *untold))
            log.info("holds_shared", ids=[hold.id for hold in untold])

    def _tell(self, work: Any) -> None:
        try:
            self._telling.run(work)
        except StoreError as error:
            raise OSError(f"other instances of the bot could not be told: {error}") from error


def _lay(session: Session, *holds: Hold) -> None:
    for hold in holds:
        session.execute(LAY, (hold.id, hold.state.value, hold.owner, hold.reason, hold.at))


def _read(session: Session) -> Sequence[Row]:
    return session.execute(
        "SELECT id, state, owner, reason, at, lifted_at, lifted_by, lifted_for FROM holds"
        " ORDER BY at"
    ).all()


def _hold(row: Row) -> Hold:
    try:
        state = TradingState(row[1])
    except ValueError:
        state = TradingState.HALTED  # what is not understood stops
    return Hold(id=row[0], state=state, owner=row[2], reason=row[3], at=row[4])


def _lift(row: Row) -> dict[str, Any]:
    words = ("id", "state", "owner", "reason", "at", "lifted_at", "lifted_by", "lifted_for")
    return dict(zip(words, row, strict=True))
