"""The state that every page shows, read once for all simultaneous viewers."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from trading_ops import clock
from trading_ops.api.auth import Identity, Role
from trading_ops.api.automation import PauseView
from trading_ops.console.calls import Calls
from trading_ops.console.figures import FigureReader
from trading_ops.console.fleet import Fleet, gather
from trading_ops.domain.approval import Approval
from trading_ops.domain.maintenance import Maintenance
from trading_ops.errors import StoreError

T = TypeVar("T")

KEPT_SECONDS = 1.0
ANSWER_SECONDS = 5.0
"""After this long, a page reports that the database does not answer."""

INCIDENTS = 1000
READER = Identity("console", Role.VIEWER)
"""Role for reading the state that all pages share; every page requires at least this role."""


class Shared(Generic[T]):
    """Caches a result for a second."""

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read = read
        self._at = -math.inf
        self._reading: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """Return the result.

        Raises:
            StoreError: the database does not answer.
        """
        old = clock.monotonic() - self._at > KEPT_SECONDS
        if self._reading is None or (old and self._reading.done()):
            self._reading = asyncio.create_task(self._read_now())
            self._at = clock.monotonic()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await asyncio.shield(self._reading)
        except TimeoutError as error:
            raise StoreError(f"no answer within {ANSWER_SECONDS:g} s") from error

    def forget(self) -> None:
        """Drop the cached result after a change."""
        self._at = -math.inf
        self._reading = None

    async def _read_now(self) -> T:
        return await self._read()


@dataclass(frozen=True, kw_only=True)
class Situation:
    """State that is shown on every page."""

    pause: PauseView | None = None
    windows: Sequence[Maintenance] = ()
    approvals: Sequence[Approval] = ()
    """Pending approvals."""

    problem: str = ""
    """Why the state is unknown."""


class FleetReader:
    """Reads the fleet and the situation."""

    def __init__(self, calls: Calls, figures: FigureReader) -> None:
        self._calls = calls
        self._figures = figures
        self._fleet = Shared(self._read_fleet)
        self._situation = Shared(self._read_situation)

    async def fleet(self) -> Fleet:
        """Return the fleet.

        Raises:
            StoreError: the database does not answer.
        """
        return await self._fleet.get()

    async def situation(self) -> Situation:
        """Return the situation, with a note if the database does not answer."""
        try:
            return await self._situation.get()
        except StoreError as error:
            return Situation(problem=str(error))

    def forget(self) -> None:
        """Drop all cached results."""
        self._fleet.forget()
        self._situation.forget()

    async def _read_fleet(self) -> Fleet:
        targets, page, figures = await asyncio.gather(
            self._get("/api/v1/targets"),
            self._get("/api/v1/incidents", open=True, limit=INCIDENTS),
            self._figures.read(),
        )
        return gather(targets.targets, page.incidents, figures, clock.now())

    async def _read_situation(self) -> Situation:
        pause, windows, waiting = await asyncio.gather(
            self._get("/api/v1/pause"),
            self._get("/api/v1/maintenance"),
            self._get("/api/v1/approvals", state="pending"),
        )
        now = clock.now()
        return Situation(
            pause=pause.pause,
            windows=[window for window in windows.maintenance if window.begins_at <= now],
            approvals=[approval for approval in waiting.approvals if approval.expires_at > now],
        )

    async def _get(self, path: str, **query: Any) -> Any:
        return await self._calls(READER, f"GET {path}", query=query)
