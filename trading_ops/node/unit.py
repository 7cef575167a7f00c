"""One service of this host, for requests and the API."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from trading_ops.domain.target import Target
from trading_ops.errors import ActionError, SetupError, StackError
from trading_ops.services.last_lines import bounded
from trading_ops.services.manager import (
    KeepsLogs,
    ManagerUnavailable,
    ResourceControl,
    ServiceManager,
    UnitStatus,
)

START_WITHIN = timedelta(seconds=60)
"""Time for the service manager to report the unit as started."""

STOP_GRACE = timedelta(seconds=10)
"""Time between SIGTERM and SIGKILL when an operator stops it."""

UNKNOWN = UnitStatus(state="unknown", running=False)
"""Status while the service manager does not answer; the reconciler treats it as no answer."""


class NodeUnit:
    """A target's service. Its state is that of the last `refresh`."""

    def __init__(self, target: Target, manager: ServiceManager) -> None:
        if target.service is None:
            raise ActionError(f"{target.name} has no `service` in targets.yml")
        self.name = target.name
        self.lock = asyncio.Lock()
        self.restarts = 0
        """Number of restarts by this node process."""

        self._service = target.service
        self._manager = manager
        self._status = UNKNOWN
        self._problem: str | None = None

    @property
    def incarnation(self) -> str | None:
        """Return the current or last known run."""
        return self._status.incarnation

    @property
    def running(self) -> bool:
        """Return whether it ran at the last refresh."""
        return self._status.running

    @property
    def pid(self) -> int | None:
        """Return its main process on this host."""
        return self._status.pid if self._status.running else None

    @property
    def ended(self) -> str:
        """Return how its last run ended, such as `oom-kill`; empty if it runs."""
        return "" if self._status.running else self._status.detail

    async def look(self) -> UnitStatus:
        """Query the service manager, without changing what `refresh` found.

        Returns:
            `UNKNOWN` if it does not answer.
        """
        try:
            return await self._manager.status(self._service.unit)
        except (SetupError, StackError):
            return UNKNOWN

    async def refresh(self) -> None:
        """Query the service manager.

        Raises:
            StackError: it does not answer, or has no such unit.
        """
        try:
            self._status = await self._manager.status(self._service.unit)
        except (SetupError, StackError) as error:
            self._problem = str(error)
            raise error if isinstance(error, StackError) else StackError(str(error)) from error
        self._problem = None

    async def last_lines(self) -> list[str]:
        """Return the last lines that the current or last run logged; empty if none are kept.

        Raises:
            SetupError: they cannot be read here.
            StackError: the service manager does not answer.
        """
        if self.incarnation is None or not isinstance(self._manager, KeepsLogs):
            return []
        return bounded(await self._manager.last_lines(self._service.unit, self.incarnation))

    async def start(self) -> None:
        """Start it unless it runs.

        Raises:
            SetupError: it could not be started.
            StackError: the service manager does not answer.
        """
        await self._manager.start(self._service.unit, START_WITHIN)
        await self.refresh()

    async def stop(self, seconds: float | None = None) -> None:
        """Stop it; it stays down until it is started.

        Raises:
            SetupError: it could not be stopped.
            StackError: the service manager does not answer.
        """
        grace = STOP_GRACE if seconds is None else timedelta(seconds=seconds)
        await self._manager.stop(self._service.unit, grace)
        await self.refresh()

    async def restart(self) -> None:
        """Replace its process.

        Raises:
            SetupError: it could not be started, and may be stopped now.
            StackError: the service manager does not answer, or did not finish in time; whether the
                unit was or will be restarted is unknown.
        """
        try:
            await self._manager.restart(self._service.unit, START_WITHIN)
        except TimeoutError as error:
            late = f"not restarted within {START_WITHIN.total_seconds():g} s"
            raise ManagerUnavailable(
                f"{self._service.unit}, by {self._service.manager}: {late}"
            ) from error
        self.restarts += 1
        await self.refresh()

    @property
    def resources(self) -> ResourceControl:
        """The service manager's control of resources.

        Raises:
            SetupError: it has none.
        """
        if not isinstance(self._manager, ResourceControl):
            kind = self._service.manager
            raise SetupError(
                f"{self.name} runs under {kind}; only systemd can change its resources"
            )
        return self._manager

    @property
    def service(self) -> str:
        """Its name at the service manager."""
        return self._service.unit

    async def described(self) -> Mapping[str, Any]:
        """Return its current state; if the manager does not answer, the state has the problem."""
        try:
            await self.refresh()
        except StackError:
            self._status = UNKNOWN
        return self.describe()

    def describe(self) -> dict[str, Any]:
        """Return its state as of the last refresh, in the format of the executor's API."""
        return {
            "unit": self.name,
            "manager": self._service.manager,
            "service": self._service.unit,
            "state": self._status.state,
            "pid": self.pid,
            "incarnation": self.incarnation,
            "reported": self._status.reported,
            "restarts": self.restarts,
            "restarts_by": self._service.restarts,
            "detail": self._status.detail,
            "problem": self._problem,
        }
