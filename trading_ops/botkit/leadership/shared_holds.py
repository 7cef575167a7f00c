"""Holds that all instances of a bot share: a halt of the leader also applies to the next leader.

A hold that is placed or released at any instance is written to the shared records within the same
command, and every instance follows the records. Placing a hold needs no lease: any instance may
stop the bot. An instance that cannot read the shared holds does not take over.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any

from trading_ops import logs
from trading_ops.agent.state import Holds, TradingHold, TradingState
from trading_ops.botkit.leadership.connection import BoundedConnection
from trading_ops.botkit.records.sql import Session
from trading_ops.errors import StoreError

log = logs.get(__name__)

KEPT_SECONDS = 90 * 86_400.0
"""How long a released hold is kept."""

OWN_FAULT = "agent"
"""Owner of the hold of an instance that cannot read its own file: that hold is not shared."""

PLACE = """
INSERT INTO holds (id, state, owner, reason, at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, owner = excluded.owner,
    reason = excluded.reason, at = excluded.at,
    lifted_at = NULL, lifted_by = NULL, lifted_for = NULL
WHERE (holds.lifted_at IS NOT NULL AND holds.at <> excluded.at)
    OR (holds.lifted_at IS NULL AND holds.state <> 'halted' AND excluded.state = 'halted')
"""
"""Of two holds with one id the stricter applies; a copy does not bring back a released hold."""

Row = tuple[Any, ...]


class SharedHolds:
    """Keeps this instance's holds and the shared ones the same."""

    def __init__(
        self, holds: Holds, *, writer: BoundedConnection, reader: BoundedConnection
    ) -> None:
        """Write every change of `holds` to the shared records from now on.

        Args:
            holds: of this instance's agent.
            writer: used from the agent's thread, which must not wait for the event loop.
            reader: used from the event loop.
        """
        self._holds = holds
        self._writer = writer
        self._reader = reader
        holds.share(self)

    def placed(self, hold: TradingHold) -> None:
        """Write a hold that was placed here.

        Raises:
            OSError: it is not in the shared records.
        """
        self._write(lambda session: _place(session, hold))

    def released(
        self, holds: Collection[TradingHold], *, owner: str, reason: str, at: float
    ) -> None:
        """Write that holds were released here.

        Args:
            holds: the released ones.
            owner: who released them.
            reason: why.
            at: when, in seconds since the epoch.

        Raises:
            OSError: it is not in the shared records.
        """

        def release(session: Session) -> None:
            for hold in holds:
                session.execute(
                    "UPDATE holds SET lifted_at = ?, lifted_by = ?, lifted_for = ?"
                    " WHERE id = ? AND lifted_at IS NULL",
                    (at, owner, reason, hold.id),
                )
            session.execute("DELETE FROM holds WHERE lifted_at < ?", (at - KEPT_SECONDS,))

        self._write(release)

    async def sync(self) -> None:
        """Apply what other instances placed and released, and write what is missing there.

        Raises:
            StoreError: the shared holds cannot be read or written, or a hold cannot be stored here.
        """
        seen = self._holds.changes
        rows = await self._reader.transact(_read)
        in_force = [_hold(row) for row in rows if row[5] is None]
        released = [_release(row) for row in rows if row[5] is not None]
        try:
            unshared = await asyncio.to_thread(self._holds.follow, in_force, released, seen=seen)
        except OSError as error:
            raise StoreError(f"holds cannot be stored: {error}") from error
        missing = [hold for hold in unshared if hold.owner != OWN_FAULT]
        if missing:
            await self._reader.transact(lambda session: _place(session, *missing))
            log.info("holds_shared", ids=[hold.id for hold in missing])

    def _write(self, work: Callable[[Session], None]) -> None:
        try:
            self._writer.transact_blocking(work)
        except StoreError as error:
            raise OSError(f"not shared with the other instances of the bot: {error}") from error


def _place(session: Session, *holds: TradingHold) -> None:
    for hold in holds:
        session.execute(PLACE, (hold.id, hold.state.value, hold.owner, hold.reason, hold.at))


def _read(session: Session) -> Sequence[Row]:
    return session.execute(
        "SELECT id, state, owner, reason, at, lifted_at, lifted_by, lifted_for FROM holds"
        " ORDER BY at"
    ).all()


def _hold(row: Row) -> TradingHold:
    try:
        state = TradingState(row[1])
    except ValueError:
        state = TradingState.HALTED  # an unknown state halts
    return TradingHold(id=row[0], state=state, owner=row[2], reason=row[3], at=row[4])


def _release(row: Row) -> dict[str, Any]:
    keys = ("id", "state", "owner", "reason", "at", "released_at", "released_by", "released_for")
    return dict(zip(keys, row, strict=True))
