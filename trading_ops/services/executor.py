"""Executes requests to restart and stop units, at most once each and never from a stale sender."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Protocol

import msgspec

from trading_ops import logs
from trading_ops.agent.fence import MAXIMUM_FENCE, FenceKeeper
from trading_ops.errors import SetupError, StackError

_log = logs.get(__name__)

LONGEST_GRACE_SECONDS = 10.0


class Unit(Protocol):
    """A process or container under a service manager."""

    @property
    def name(self) -> str:
        """Return its name in targets.yml."""

    @property
    def lock(self) -> asyncio.Lock:
        """Return the lock that is held while it is started, stopped or restarted."""

    @property
    def incarnation(self) -> str | None:
        """Return the current or last run, as of the last `refresh`."""

    @property
    def running(self) -> bool:
        """Return whether it ran at the last `refresh`."""

    @property
    def pid(self) -> int | None:
        """Return its main process, or None if it is not running."""

    @property
    def ended(self) -> str:
        """Return how its last run ended; empty if it runs, or that is not known."""

    async def last_lines(self) -> list[str]:
        """Return the last lines that this run logged, redacted; empty if none are kept.

        Raises:
            SetupError: they cannot be read.
            StackError: the service manager does not answer.
        """

    async def refresh(self) -> None:
        """Read its state from the service manager.

        Raises:
            StackError: the service manager does not answer.
        """

    async def start(self) -> None:
        """Start it unless it runs.

        Raises:
            SetupError: it could not be started.
        """

    async def stop(self, seconds: float | None = None) -> None:
        """Stop it; SIGKILL follows after some seconds. It stays down until it is started."""

    async def restart(self) -> None:
        """Stop the current run, if there is one, and start the next.

        Raises:
            SetupError: it could not be started, and may be stopped now.
        """


Fence = Annotated[int, msgspec.Meta(ge=0, le=MAXIMUM_FENCE)]


class RestartRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a restart request."""

    attempt_id: str
    fence: Fence | None
    """Fence of the sender; None: an operator's request, which has no fence."""

    incarnation: str | None = None
    """The intended run, the last one if the process is dead; None: any."""


class StopRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request to stop one run of a process."""

    attempt_id: str
    fence: Fence
    incarnation: str
    """The intended run; another one is not stopped."""

    grace_seconds: float = 2.0
    """Time between SIGTERM and SIGKILL; at most 10."""


class OtherIncarnation(StackError):
    """The request names another run than the current one; nothing was done."""

    def __init__(self, current: str | None) -> None:
        self.current = current
        super().__init__(f"the current process is another one: {current}")


class Executor:
    """Fences and answers of one executor; allows one restart at a time per unit."""

    def __init__(
        self, keeper: FenceKeeper, *, check_open: Callable[[], None] = lambda: None
    ) -> None:
        """Set up the executor.

        The keeper's calls take a few milliseconds each to reach the disk. They do not run in a
        thread, because nothing else may happen to a unit between them and the effect.

        Args:
            keeper: stores fences and answers.
            check_open: called before anything is started; raises a StackError when the executor
                is stopping.
        """
        self._check_open = check_open
        self._keeper = keeper
        self._running: set[str] = set()

    async def restart(self, unit: Unit, request: RestartRequest) -> dict[str, Any]:
        """Restart a unit, or return the stored answer of this attempt.

        Raises:
            StaleFence: a newer sender was seen.
            OtherIncarnation: the intended run has ended.
            StackError: the executor is stopping, or the service manager does not answer.
            OSError: the fence could not be stored; nothing was done.
        """

        async def effect() -> dict[str, Any]:
            _log.info("restart_requested", unit=unit.name, attempt=request.attempt_id)
            return await self._carry_out(unit)

        return await self.once(unit, request, effect)

    async def once(
        self,
        unit: Unit,
        request: RestartRequest,
        effect: Callable[[], Awaitable[dict[str, Any]]],
    ) -> dict[str, Any]:
        """Carry out the effect of a request, or return the stored answer of this attempt.

        Args:
            unit: that it is about.
            request: with the attempt, the fence and the intended run.
            effect: returns the answer, also that it failed.

        Raises:
            StaleFence: a newer sender was seen.
            OtherIncarnation: the intended run has ended.
            StackError: the executor is stopping, or the service manager does not answer.
            OSError: the fence could not be stored; nothing was done.
        """
        async with unit.lock:
            if answer := self._keeper.answer(request.attempt_id):
                return {**answer, "log": [], "repeated": True}
            self._check_open()
            if self._keeper.begun(request.attempt_id) is not None:
                return self._interrupted(request.attempt_id)
            await unit.refresh()
            fence = self._keeper.highest(unit.name) if request.fence is None else request.fence
            if request.incarnation is not None and request.incarnation != unit.incarnation:
                self._keeper.check(unit.name, fence)
                raise OtherIncarnation(unit.incarnation)
            self._keeper.admit(
                unit.name,
                fence,
                attempt_id=request.attempt_id,
                mark={"before": unit.incarnation},
            )
            self._running.add(request.attempt_id)
            try:
                answer = {"attempt_id": request.attempt_id, **await effect()}
                log = answer.pop("log", [])  # not stored: it would be written with each change
                self._keep(request.attempt_id, answer)
            finally:
                self._running.discard(request.attempt_id)
        return {**answer, "log": log, "repeated": False}

    def take_up(self, unit: Unit, attempt_id: str, incarnation: str) -> dict[str, Any] | None:
        """Start a longer operation on one run for an operator; return its stored answer, if any.

        Call it while holding the unit's lock; `finish` stores its outcome.

        Raises:
            OtherIncarnation: the intended run has ended.
            StackError: the executor is stopping.
            OSError: it could not be stored; nothing may be done.
        """
        if (answer := self.answer(attempt_id)) is not None:
            return {**answer, "repeated": True}
        self._check_open()
        self.still(unit, incarnation)
        name = unit.name
        mark = {"before": incarnation}
        self._keeper.admit(name, self._keeper.highest(name), attempt_id=attempt_id, mark=mark)
        self._running.add(attempt_id)
        return None

    def still(self, unit: Unit, incarnation: str) -> None:
        """Check that the intended run is the current one.

        Raises:
            OtherIncarnation: the intended run has ended.
        """
        if incarnation != unit.incarnation or not unit.running:
            raise OtherIncarnation(unit.incarnation)

    def finish(self, attempt_id: str, answer: dict[str, Any]) -> None:
        """Store the outcome of an attempt that `take_up` accepted."""
        self._keep(attempt_id, answer)
        self._running.discard(attempt_id)

    async def raise_fence(self, unit: Unit, fence: int) -> int:
        """Refuse older senders; on return, none of their requests is running."""
        async with unit.lock:
            return self._keeper.raise_to(unit.name, fence)

    async def start(self, unit: Unit) -> None:
        """Start a unit for an operator.

        Raises:
            StackError: the executor is stopping.
            SetupError: the program cannot be started.
        """
        async with unit.lock:
            self._check_open()
            await unit.start()

    async def stop(self, unit: Unit) -> None:
        """Stop a unit for an operator; it stays down until it is started."""
        async with unit.lock:
            await unit.stop()

    async def stop_life(self, unit: Unit, request: StopRequest) -> dict[str, Any]:
        """Stop exactly one run of a unit, for any sender: a silent process must not keep trading.

        A safe action: neither an old fence nor a full disk prevents it. The unit stays down until
        it is started or restarted.

        Raises:
            OtherIncarnation: the intended run has ended; nothing was done.
        """
        async with unit.lock:
            if answer := self._keeper.answer(request.attempt_id):
                return {**answer, "repeated": True}
            await unit.refresh()
            if request.incarnation != unit.incarnation:
                raise OtherIncarnation(unit.incarnation)
            try:
                self._keeper.raise_to(unit.name, request.fence)
            except OSError as error:
                _log.error("fence_not_stored", unit=unit.name, reason=str(error))
            _log.warning("stop_requested", unit=unit.name, attempt=request.attempt_id)
            await unit.stop(min(max(request.grace_seconds, 0.0), LONGEST_GRACE_SECONDS))
            answer = {
                "attempt_id": request.attempt_id,
                "outcome": "succeeded",
                "before": request.incarnation,
                "detail": f"{unit.name} was stopped: {request.incarnation}",
            }
            self._keep(request.attempt_id, answer)
        return {**answer, "repeated": False}

    def answer(self, attempt_id: str) -> dict[str, Any] | None:
        """Return the state of an attempt: answered, running, interrupted by a crash, or None."""
        if (answer := self._keeper.answer(attempt_id)) is not None:
            return answer
        if attempt_id in self._running:
            return {"attempt_id": attempt_id, "outcome": "running"}
        return self._interrupted(attempt_id) if self._keeper.begun(attempt_id) is not None else None

    def _interrupted(self, attempt_id: str) -> dict[str, Any]:
        """Return the answer for a restart that an earlier executor did not finish."""
        mark = self._keeper.begun(attempt_id) or {}
        detail = "the executor that started it has ended; its outcome is unknown"
        answer = {"attempt_id": attempt_id, "outcome": "unknown", "detail": detail}
        return {**mark, **answer, "repeated": True}

    async def _carry_out(self, unit: Unit) -> dict[str, Any]:
        before, ended = unit.incarnation, unit.ended
        log = [] if unit.running else await self._last_lines(unit)
        return {**await self._restart(unit, before, ended), "log": log}

    async def _last_lines(self, unit: Unit) -> list[str]:
        """Return what a run logged before it ended. Nothing here may prevent the restart."""
        try:
            return await unit.last_lines()
        except (SetupError, StackError) as error:
            _log.warning("last_lines_not_read", unit=unit.name, reason=str(error))
        except Exception:  # noqa: BLE001 - a defect of ours too
            _log.exception("last_lines_crashed", unit=unit.name)
        return []

    async def _restart(self, unit: Unit, before: str | None, ended: str) -> dict[str, Any]:
        try:
            await unit.restart()
        except Exception as error:  # noqa: BLE001 - a defect of ours too
            if isinstance(
                error, StackError
            ):  # the connection to the manager was lost: it may have been restarted
                return {"outcome": "unknown", "before": before, "detail": str(error)}
            # Every error needs an answer: the process may be stopped now, and without an answer a
            # probe would conclude that the request never arrived.
            if not isinstance(error, SetupError):
                _log.exception("restart_crashed", unit=unit.name)
            reason = str(error) or type(error).__name__
            detail = f"{unit.name} was stopped and could not be started again: {reason}"
            return {"outcome": "failed", "incarnation": None, "pid": None, "detail": detail}
        last = f"{before} ({ended})" if before and ended else before or "nothing"
        return {
            "outcome": "succeeded",
            "incarnation": unit.incarnation,
            "pid": unit.pid,
            "detail": f"{unit.name} was restarted: {last} → {unit.incarnation}",
        }

    def _keep(self, attempt_id: str, answer: dict[str, Any]) -> None:
        try:
            self._keeper.record(attempt_id, answer)
        except OSError as error:  # kept in memory, and stored with the next change
            _log.error("answer_not_stored", attempt=attempt_id, reason=str(error))
