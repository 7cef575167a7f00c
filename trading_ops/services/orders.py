"""Carries out orders to restart and stop units: each at most once, and never for a stale sender."""

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
    """One process or container that a service manager runs."""

    @property
    def name(self) -> str:
        """Its name in targets.yml."""

    @property
    def order(self) -> asyncio.Lock:
        """Held while it is started, stopped or restarted."""

    @property
    def incarnation(self) -> str | None:
        """The current run or, if it has ended, the last one, as of the last `refresh`."""

    @property
    def running(self) -> bool:
        """Whether it ran at the last `refresh`."""

    @property
    def pid(self) -> int | None:
        """Its main process, None while it does not run."""

    async def refresh(self) -> None:
        """Read its state from the service manager.

        Raises:
            StackError: the service manager does not answer.
        """

    async def start(self) -> None:
        """Start it, unless it runs.

        Raises:
            SetupError: it could not be started.
        """

    async def stop(self, seconds: float | None = None) -> None:
        """Stop it; SIGKILL follows after some seconds. It stays down until it is started."""

    async def restart(self) -> None:
        """Stop the current run, if there is one, and start the next.

        Raises:
            SetupError: it could not be started, and may be stopped by then.
        """


Fence = Annotated[int, msgspec.Meta(ge=0, le=MAXIMUM_FENCE)]


class RestartOrder(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a restart request."""

    attempt_id: str
    fence: Fence | None
    """The sender's; None: an operator's, who takes the place of no sender."""

    incarnation: str | None = None
    """The intended run, the last one if the process is dead; None for any."""


class StopOrder(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request to stop one run of a process."""

    attempt_id: str
    fence: Fence
    incarnation: str
    """The intended run; another one is not stopped."""

    grace_seconds: float = 2.0
    """For SIGTERM to work; then SIGKILL. At most 10."""


class OtherIncarnation(StackError):
    """The request names another run than the current one: nothing was done."""

    def __init__(self, current: str | None) -> None:
        """Take the current incarnation."""
        self.current = current
        super().__init__(f"the process is another one now: {current}")


class Orders:
    """The fences and answers of one executor; one restart at a time for each unit."""

    def __init__(
        self, keeper: FenceKeeper, *, check_open: Callable[[], None] = lambda: None
    ) -> None:
        """Take the durable memory.

        The keeper's calls take some milliseconds each to reach the disk. They are not handed to a
        thread: nothing else of a unit may happen between them and the effect.

        Args:
            keeper: stores fences and answers.
            check_open: called before anything is started; raises a StackError when the executor
                is stopping.
        """
        self._check_open = check_open
        self._keeper = keeper
        self._running: set[str] = set()

    async def restart(self, unit: Unit, order: RestartOrder) -> dict[str, Any]:
        """Restart a unit, or return the stored answer of this attempt.

        Raises:
            StaleFence: a newer sender was seen.
            OtherIncarnation: the intended run has ended.
            StackError: the executor is stopping, or the service manager does not answer.
            OSError: the fence could not be stored; nothing was done.
        """

        async def effect() -> dict[str, Any]:
            _log.info("restart_ordered", unit=unit.name, attempt=order.attempt_id)
            return await self._carry_out(unit)

        return await self.once(unit, order, effect)

    async def once(
        self,
        unit: Unit,
        order: RestartOrder,
        effect: Callable[[], Awaitable[dict[str, Any]]],
    ) -> dict[str, Any]:
        """Carry out the effect of an order, or return the stored answer of this attempt.

        Args:
            unit: that it is about.
            order: with the attempt, the fence and the intended run.
            effect: returns the answer, also that it failed.

        Raises:
            StaleFence: a newer sender was seen.
            OtherIncarnation: the intended run has ended.
            StackError: the executor is stopping, or the service manager does not answer.
            OSError: the fence could not be stored; nothing was done.
        """
        async with unit.order:
            if answer := self._keeper.answer(order.attempt_id):
                return {**answer, "repeated": True}
            self._check_open()
            if self._keeper.begun(order.attempt_id) is not None:
                return self._died(order.attempt_id)
            await unit.refresh()
            fence = self._keeper.highest(unit.name) if order.fence is None else order.fence
            if order.incarnation is not None and order.incarnation != unit.incarnation:
                self._keeper.check(unit.name, fence)
                raise OtherIncarnation(unit.incarnation)
            self._keeper.admit(
                unit.name,
                fence,
                attempt_id=order.attempt_id,
                mark={"before": unit.incarnation},
            )
            self._running.add(order.attempt_id)
            try:
                answer = {"attempt_id": order.attempt_id, **await effect()}
                self._keep(order.attempt_id, answer)
            finally:
                self._running.discard(order.attempt_id)
        return {**answer, "repeated": False}

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
        """Shut out older senders; when this returns, nothing that they ordered is still running."""
        async with unit.order:
            return self._keeper.raise_to(unit.name, fence)

    async def start(self, unit: Unit) -> None:
        """Start a unit for an operator.

        Raises:
            StackError: the executor is stopping.
            SetupError: the program cannot be started.
        """
        async with unit.order:
            self._check_open()
            await unit.start()

    async def stop(self, unit: Unit) -> None:
        """Stop a unit for an operator; it stays down until it is started."""
        async with unit.order:
            await unit.stop()

    async def stop_life(self, unit: Unit, order: StopOrder) -> dict[str, Any]:
        """Stop exactly one run of a unit, for any sender: a silent process must not keep trading.

        A safe action: neither an old fence nor a full disk prevents it. The unit stays down until
        it is started or restarted.

        Raises:
            OtherIncarnation: the intended run has ended; nothing was done.
        """
        async with unit.order:
            if answer := self._keeper.answer(order.attempt_id):
                return {**answer, "repeated": True}
            await unit.refresh()
            if order.incarnation != unit.incarnation:
                raise OtherIncarnation(unit.incarnation)
            try:
                self._keeper.raise_to(unit.name, order.fence)
            except OSError as error:
                _log.error("fence_not_stored", unit=unit.name, reason=str(error))
            _log.warning("stop_ordered", unit=unit.name, attempt=order.attempt_id)
            await unit.stop(min(max(order.grace_seconds, 0.0), LONGEST_GRACE_SECONDS))
            answer = {
                "attempt_id": order.attempt_id,
                "outcome": "succeeded",
                "before": order.incarnation,
                "detail": f"{unit.name} was stopped: {order.incarnation}",
            }
            self._keep(order.attempt_id, answer)
        return {**answer, "repeated": False}

    def answer(self, attempt_id: str) -> dict[str, Any] | None:
        """Return the state of an attempt: answered, running, interrupted by a crash, or None."""
        if (answer := self._keeper.answer(attempt_id)) is not None:
            return answer
        if attempt_id in self._running:
            return {"attempt_id": attempt_id, "outcome": "running"}
        return self._died(attempt_id) if self._keeper.begun(attempt_id) is not None else None

    def _died(self, attempt_id: str) -> dict[str, Any]:
        """Return what is known of a restart that an earlier executor did not finish."""
        mark = self._keeper.begun(attempt_id) or {}
        detail = "it was started by an executor that has ended; its outcome is unknown"
        answer = {"attempt_id": attempt_id, "outcome": "unknown", "detail": detail}
        return {**mark, **answer, "repeated": True}

    async def _carry_out(self, unit: Unit) -> dict[str, Any]:
        before = unit.incarnation
        try:
            await unit.restart()
        except Exception as error:  # noqa: BLE001 - a defect of ours too
            if isinstance(error, StackError):  # the manager went away: it may have been done
                return {"outcome": "unknown", "before": before, "detail": str(error)}
            # Whatever it was, it is an answer: the process may be stopped by now, and without one
            # a probe would find that the request never arrived.
            if not isinstance(error, SetupError):
                _log.exception("restart_crashed", unit=unit.name)
            reason = str(error) or type(error).__name__
            detail = f"{unit.name} was stopped and could not be started again: {reason}"
            return {"outcome": "failed", "incarnation": None, "pid": None, "detail": detail}
        return {
            "outcome": "succeeded",
            "incarnation": unit.incarnation,
            "pid": unit.pid,
            "detail": f"{unit.name} was restarted: {before or 'nothing'} → {unit.incarnation}",
        }

    def _keep(self, attempt_id: str, answer: dict[str, Any]) -> None:
        try:
            self._keeper.record(attempt_id, answer)
        except OSError as error:  # it is known here until the disk takes it with the next change
            _log.error("answer_not_stored", attempt=attempt_id, reason=str(error))
