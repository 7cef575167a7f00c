"""The trading state: the most restrictive active hold of operators and automation."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from trading_ops import clock
from trading_ops.agent.durable import read_json, write_json
from trading_ops.errors import SetupError

KEPT_RELEASED = 100
"""Number of released holds kept in the file, which record who resumed and why."""

REPORTED_RELEASED = 20
"""Number of them in each answer to GET /health."""


class TradingState(StrEnum):
    """The trading state of a bot."""

    ACTIVE = "active"
    """Everything."""

    REDUCING = "reducing"
    """Only orders that reduce exposure."""

    HALTED = "halted"
    """No new orders and no changes; cancels and queries pass."""

    @property
    def severity(self) -> int:
        """Return its rank; of several holds the highest wins."""
        return list(TradingState).index(self)


@dataclass(frozen=True, kw_only=True)
class TradingHold:
    """A restriction of a bot to a trading state."""

    id: str
    """Unique on its bot; of two with the same ID the stricter one wins."""

    state: TradingState
    owner: str
    reason: str
    at: float
    """Seconds since the epoch."""


class Mirror(Protocol):
    """Shares holds with other instances of the bot."""

    def placed(self, hold: TradingHold) -> None:
        """Share a hold.

        Raises:
            OSError: it could not be stored.
        """

    def released(
        self, holds: Collection[TradingHold], *, owner: str, reason: str, at: float
    ) -> None:
        """Store that holds were released.

        Raises:
            OSError: it could not be stored.
        """


class Holds:
    """The holds on one bot, in a file; they survive a restart.

    `state` is a plain attribute: the order path reads it without blocking. Every method is
    thread-safe; `put` never waits for the disk, the other methods that change something do.
    """

    def __init__(
        self, path: Path, *, on_change: Callable[[TradingState], None] = lambda _: None
    ) -> None:
        """Load the holds.

        A file that cannot be read halts the bot: it may have contained a halt.

        Args:
            path: the file; its folder must exist.
            on_change: called with the state at once and at each change.
        """
        self._path = path
        self._on_change = on_change
        self._writing = Lock()
        self._memory = Lock()  # held briefly: never during a write
        self._mirror: Mirror | None = None
        self.changes = 0
        """Number of holds placed or released here."""

        self._released: list[dict[str, Any]] = []
        try:
            self._load()
        except SetupError as error:
            self._holds: tuple[TradingHold, ...] = (
                TradingHold(
                    id="unreadable-file",
                    state=TradingState.HALTED,
                    owner="agent",
                    reason=str(error),
                    at=clock.timestamp(),
                ),
            )
        self.state = TradingState.ACTIVE
        self._apply()

    @property
    def holds(self) -> tuple[TradingHold, ...]:
        """Return the active holds, oldest first."""
        return self._holds

    @property
    def released(self) -> list[dict[str, Any]]:
        """Return the latest releases, oldest first: ID, placed at, released at, by whom and why."""
        names = ("id", "at", "released_at", "released_by", "released_for")
        return [
            {name: hold[name] for name in names}
            for hold in self._released[-REPORTED_RELEASED:]
            if all(name in hold for name in names)
        ]

    def share(self, mirror: Mirror) -> None:
        """From now on, share holds that are placed and released here with other instances."""
        self._mirror = mirror

    def place(self, hold: TradingHold) -> TradingHold:
        """Place a hold; return the active one with its ID, the stricter of the two.

        It is in force before it is stored: a halt must not wait for a disk.

        Raises:
            OSError: it is in force, but could not be stored, so a restart would lose it; or it
                could not be shared with other instances.
        """
        active = self.put(hold)
        self.keep(active)
        return active

    def put(self, hold: TradingHold) -> TradingHold:
        """Place a hold without blocking; `keep` then stores it."""
        with self._memory:
            self.changes += 1
            earlier = next((other for other in self._holds if other.id == hold.id), None)
            if earlier is None:
                self._holds = (*self._holds, hold)
            else:
                if hold.state.severity <= earlier.state.severity:
                    hold = replace(earlier)  # a new object: not part of a concurrent release
                self._holds = tuple(hold if other is earlier else other for other in self._holds)
            self._apply()
            return hold

    def keep(self, hold: TradingHold) -> None:
        """Store a hold that was put, and share it with other instances.

        Raises:
            OSError: it could not be stored or shared.
        """
        with self._writing:
            self._store(self._holds, self._released)
            if self._mirror is not None:
                self._mirror.placed(hold)

    def release(
        self, *, owner: str, reason: str, ids: frozenset[str] | None
    ) -> tuple[TradingHold, ...]:
        """Release the holds with these IDs, None for all; return them.

        The release is stored before it takes effect: a restart must not bring the holds back.

        Raises:
            OSError: it could not be stored; the holds stay active.
        """
        with self._writing:
            with self._memory:
                self.changes += 1
                before = self._holds
            gone = tuple(hold for hold in before if ids is None or hold.id in ids)
            at = clock.timestamp()
            release = {"released_by": owner, "released_for": reason, "released_at": at}
            entries = [asdict(hold) | release for hold in gone]
            released = [*self._released, *entries][-KEPT_RELEASED:]
            if self._mirror is not None:
                self._mirror.released(gone, owner=owner, reason=reason, at=at)
            self._store(_without(before, gone), released)
            self._end(gone, released)
            return gone

    def follow(
        self, active: Sequence[TradingHold], released: Sequence[dict[str, Any]], *, seen: int
    ) -> tuple[TradingHold, ...]:
        """Apply the shared holds; return the active ones here that are not shared yet.

        Args:
            active: the shared active holds.
            released: shared holds that were released, as in the file.
            seen: `changes` before they were read; if it has changed since, they may be older than
                the holds here, and are ignored.

        Raises:
            OSError: other instances' holds are in force, but could not be stored.
        """
        with self._writing:
            with self._memory:
                if self.changes != seen:
                    return ()
                before = self._holds
            ends = {(hold["id"], hold["at"]): hold for hold in released}
            theirs = {hold.id: hold for hold in active}
            kept, ending, unshared = [], [], []
            for hold in before:
                other = theirs.pop(hold.id, None)
                if other is None and (hold.id, hold.at) in ends:
                    ending.append(hold)
                elif other is None or hold.state.severity > other.state.severity:
                    kept.append(hold)
                    unshared.append(hold)
                else:
                    kept.append(other)
            after = (*kept, *theirs.values())
            if after != before:
                with self._memory:
                    if self._holds is not before:
                        return ()
                    # A halt must not wait for a disk, and a release must.
                    self._holds = (*after, *ending)
                    self._apply()
                gone = [ends[hold.id, hold.at] for hold in ending]
                stored = [*self._released, *gone][-KEPT_RELEASED:]
                self._store(after, stored)
                self._end(ending, stored)
            return tuple(unshared)

    def _end(self, gone: Sequence[TradingHold], released: list[dict[str, Any]]) -> None:
        """Remove holds whose release is stored; holds that were placed in between stay."""
        with self._memory:
            self.changes += 1
            self._holds, self._released = _without(self._holds, gone), released
            self._apply()

    def _apply(self) -> None:
        states = (TradingState.ACTIVE, *(hold.state for hold in self._holds))
        self.state = max(states, key=lambda state: state.severity)
        self._on_change(self.state)

    def _load(self) -> None:
        data = read_json(self._path)
        try:
            self._holds = tuple(
                TradingHold(**entry | {"state": TradingState(entry["state"])})
                for entry in data.get("holds", [])
            )
            self._released = [dict(entry) for entry in data.get("released", [])]
            for checked in (*map(asdict, self._holds), *self._released):
                _check_entry(checked)
        except (KeyError, TypeError, ValueError) as error:
            raise SetupError(f"{self._path} is not a valid file of holds: {error}") from error

    def _store(self, holds: tuple[TradingHold, ...], released: list[dict[str, Any]]) -> None:
        write_json(self._path, {"holds": [asdict(hold) for hold in holds], "released": released})


def _without(holds: Sequence[TradingHold], gone: Sequence[TradingHold]) -> tuple[TradingHold, ...]:
    return tuple(hold for hold in holds if not any(hold is removed for removed in gone))


def _check_entry(entry: dict[str, Any]) -> None:
    """Refuse a hold that could not be shared with others.

    Raises:
        ValueError: a field is missing or of another type.
    """
    for name in ("id", "owner", "reason"):
        if not isinstance(entry.get(name), str):
            raise ValueError(f"{name} must be a string")  # noqa: TRY004 - it is a wrong file
    for name in ("at", *(["released_at"] if "released_at" in entry else [])):
        if not isinstance(entry.get(name), int | float):
            raise ValueError(f"{name} must be a time")  # noqa: TRY004
