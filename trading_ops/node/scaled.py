"""Changes a unit's resource limits for a limited time, and restores them.

The earlier value is on disk before the change, so a node that dies restores it at its next start.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import msgspec
from aiohttp import web

from trading_ops import clock, logs
from trading_ops.agent.durable import read_json, write_json
from trading_ops.errors import SetupError, StackError
from trading_ops.services.api import U, UnitsApi
from trading_ops.services.executor import Executor, RestartRequest
from trading_ops.services.manager import ResourceControl

_log = logs.get(__name__)

MAX_SECONDS = 3600
AGAIN_SECONDS = 5.0
"""Retry delay after a failed restore."""

MEGABYTE = 1_000_000
MAX_CPU_WEIGHT = 10_000


class ScaleRequest(RestartRequest, kw_only=True, forbid_unknown_fields=True):
    """The body of a request to change a resource of a unit."""

    resource: Literal["cpu_weight", "memory_max"]
    value: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
    """A CPU weight from 1 to 10000, or megabytes of memory."""

    seconds: Annotated[int, msgspec.Meta(ge=0, le=MAX_SECONDS)]
    """Time until the earlier value is restored; 0 restores it now."""

    undoes: str | None = None
    """With 0 seconds: the attempt whose change ends; None: all changes end."""


class ScaledUnit(Protocol):
    """A unit whose service manager may be able to change its resources."""

    @property
    def name(self) -> str:
        """Return its name in targets.yml."""

    @property
    def service(self) -> str:
        """Return its name at the service manager."""

    @property
    def lock(self) -> asyncio.Lock:
        """Return the lock that is held while it is changed."""

    @property
    def resources(self) -> ResourceControl:
        """Return the service manager's control of resources.

        Raises:
            SetupError: it has none.
        """


class _Change(msgspec.Struct):
    unit: str
    resource: str
    before: int
    """The value before the first of the changes that overlap."""

    until: float
    """Unix time."""

    value: int = 0
    """In the manager's own unit; 0: written by a release that did not store it."""

    attempt: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return (self.unit, self.resource)


class Scaled:
    """The active changes, in one file. One process owns it.

    The latest change of a resource is in force. When it ends, the one before it is, and after the
    last one the value before the first: no change ends another one.
    """

    def __init__(
        self,
        path: Path,
        units: Mapping[str, ScaledUnit],
        now: Callable[[], float] = clock.timestamp,
    ) -> None:
        """Read the file, if it exists; its folder must exist.

        Raises:
            SetupError: the file is invalid.
        """
        self._path = path
        self._units = units
        self._now = now
        self._changed = asyncio.Event()
        try:
            self._changes = msgspec.convert(read_json(path).get("changes", []), list[_Change])
        except msgspec.ValidationError as error:
            fix = "restore it, or remove it and check the units with `systemctl revert`"
            raise SetupError(
                f"{path} is not a valid file of changes: {error}. Fix: {fix}"
            ) from error

    async def scale(self, name: str, request: ScaleRequest) -> dict[str, Any]:
        """Execute a request about a unit, and return the answer. Hold the unit's lock.

        Raises:
            StackError: the service manager does not answer.
        """
        try:
            detail = await self._scale(self._units[name], request)
        except (SetupError, OSError) as error:
            return {"outcome": "failed", "detail": str(error)}
        return {"outcome": "succeeded", "detail": detail}

    async def _scale(self, unit: ScaledUnit, request: ScaleRequest) -> str:
        earlier = self._of((unit.name, request.resource))
        if request.seconds == 0:
            undone = [change for change in earlier if request.undoes in {None, change.attempt}]
            await self._end(undone)
            state = "has its normal value" if undone == earlier else "has another request's value"
            return f"{request.resource} of {unit.name} {state}"
        value = request.value
        if request.resource == "memory_max":
            value *= MEGABYTE
        elif value > MAX_CPU_WEIGHT:
            raise SetupError(f"invalid CPU weight {value}. Fix: use 1 to {MAX_CPU_WEIGHT}")
        control = unit.resources
        before = (
            earlier[0].before if earlier else await control.resource(unit.service, request.resource)
        )
        change = _Change(
            unit=unit.name,
            resource=request.resource,
            before=before,
            until=self._now() + request.seconds,
            value=value,
            attempt=request.attempt_id,
        )
        self._store([*self._changes, change])
        try:
            await control.set_resource(unit.service, request.resource, value)
        except SetupError:  # it was not changed
            self._store([other for other in self._changes if other is not change])
            raise
        _log.warning(
            "resource_changed", unit=unit.name, resource=request.resource, value=request.value
        )
        return (
            f"{request.resource} of {unit.name} is {request.value} for the next {request.seconds} s"
        )

    @contextlib.asynccontextmanager
    async def restoring(self) -> AsyncIterator[None]:
        """Restore expired changes during the context."""
        task = asyncio.create_task(self.run(), name="restore-resources")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def run(self) -> None:
        """Restore each change when it expires, until cancelled."""
        while True:
            self._changed.clear()
            wait = await self._restore_due()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    async def _restore_due(self) -> float | None:
        """Restore due changes; return the seconds until the next one is due, or None."""
        failed = False
        for key in {change.key for change in self._changes if self._is_due(change)}:
            unit = self._units[key[0]]
            async with unit.lock:
                try:
                    # Those that are due now: they may have been ended while we waited.
                    await self._end(list(filter(self._is_due, self._of(key))))
                except (SetupError, StackError, OSError) as error:
                    failed = True
                    _log.error("resource_not_restored", unit=unit.name, reason=str(error))
        if failed:
            return AGAIN_SECONDS
        ends = [change.until for change in self._changes if change.unit in self._units]
        return max(min(ends) - self._now(), 0.0) if ends else None

    def _is_due(self, change: _Change) -> bool:
        return change.unit in self._units and change.until <= self._now()

    def _of(self, key: tuple[str, str]) -> list[_Change]:
        return [change for change in self._changes if change.key == key]

    async def _end(self, ended: list[_Change]) -> None:
        """End changes of one resource; what remains of it is in force then."""
        if not ended:
            return
        latest = self._of(ended[0].key)
        left = [change for change in latest if change not in ended and change.value]
        if latest[-1] in ended:
            unit = self._units[ended[0].unit]
            value = left[-1].value if left else ended[0].before
            await unit.resources.set_resource(unit.service, ended[0].resource, value)
        self._store([change for change in self._changes if change not in ended])
        _log.warning("resource_restored", unit=ended[0].unit, resource=ended[0].resource)

    def _store(self, changes: list[_Change]) -> None:
        write_json(self._path, {"changes": msgspec.to_builtins(changes)})
        self._changes = changes
        self._changed.set()


def scale_route(api: UnitsApi[U], executor: Executor, scaled: Scaled) -> web.RouteDef:
    """Return the route of a request to change a resource of a unit."""

    async def scale(request: web.Request) -> web.Response:
        unit = api.unit(request)
        body = msgspec.json.decode(await request.read(), type=ScaleRequest)
        return web.json_response(
            await executor.once(unit, body, lambda: scaled.scale(unit.name, body))
        )

    return web.post("/processes/{unit}/scale", scale)
