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
    until: float
    """Unix time."""


class Scaled:
    """The active changes, in one file. One process owns it."""

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
            kept = msgspec.convert(read_json(path).get("changes", []), list[_Change])
        except msgspec.ValidationError as error:
            fix = "restore it, or remove it and check the units with `systemctl revert`"
            raise SetupError(
                f"{path} is not a valid file of changes: {error}. Fix: {fix}"
            ) from error
        self._changes = {(change.unit, change.resource): change for change in kept}

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
        key = (unit.name, request.resource)
        if request.seconds == 0:
            if key not in self._changes:
                return f"{request.resource} of {unit.name} has its normal value"
            await self._restore(self._changes[key])
            return f"{request.resource} of {unit.name} has its normal value again"
        value = request.value
        if request.resource == "memory_max":
            value *= MEGABYTE
        elif value > MAX_CPU_WEIGHT:
            raise SetupError(f"invalid CPU weight {value}. Fix: use 1 to {MAX_CPU_WEIGHT}")
        control = unit.resources
        earlier = self._changes.get(key)
        before = (
            earlier.before if earlier else await control.resource(unit.service, request.resource)
        )
        until = self._now() + request.seconds
        self._store({**self._changes, key: _Change(unit.name, request.resource, before, until)})
        try:
            await control.set_resource(unit.service, request.resource, value)
        except SetupError:  # it was not changed
            self._store(
                {name: change for name, change in self._changes.items() if name != key}
                | ({key: earlier} if earlier else {})
            )
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
        for change in list(self._changes.values()):
            unit = self._units.get(change.unit)
            if unit is None or change.until > self._now():
                continue
            async with unit.lock:
                if self._changes.get((change.unit, change.resource)) is not change:
                    continue  # it was changed or restored while we waited
                try:
                    await self._restore(change)
                except (SetupError, StackError, OSError) as error:
                    failed = True
                    _log.error("resource_not_restored", unit=change.unit, reason=str(error))
        ends = [
            change.until - self._now()
            for change in self._changes.values()
            if change.unit in self._units
        ]
        if failed:
            return AGAIN_SECONDS
        return max(min(ends), 0.0) if ends else None

    async def _restore(self, change: _Change) -> None:
        unit = self._units[change.unit]
        await unit.resources.set_resource(unit.service, change.resource, change.before)
        key = (change.unit, change.resource)
        self._store({name: other for name, other in self._changes.items() if name != key})
        _log.warning("resource_restored", unit=change.unit, resource=change.resource)

    def _store(self, changes: dict[tuple[str, str], _Change]) -> None:
        write_json(self._path, {"changes": msgspec.to_builtins(list(changes.values()))})
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
