"""Carries out the reconciler's restart orders, at most once each, and never for a stale sender."""

from typing import Any

import msgspec

from trading_ops import logs
from trading_ops.agent.fence import FenceKeeper
from trading_ops.errors import SetupError, StackError
from trading_ops.stack.supervisor import Phase, Supervisor
from trading_ops.stack.unit import Unit

_log = logs.get(__name__)


class RestartOrder(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a restart request."""

    attempt_id: str
    fence: int
    incarnation: str | None = None
    """The life that is meant, the last one if the process is dead; None for whichever it is."""


class OtherIncarnation(StackError):
    """The life that the order names is not the one that is there: nothing was done."""

    def __init__(self, current: str | None) -> None:
        """Tell which one is there."""
        self.current = current
        super().__init__(f"the process is another one now: {current}")


class Orders:
    """The fences and answers of this supervisor; one restart at a time for each unit."""

    def __init__(self, supervisor: Supervisor, keeper: FenceKeeper) -> None:
        """Take what is ordered about, and the durable memory.

        The keeper's calls take some milliseconds each to reach the disk. They are not handed to a
        thread: nothing else of a unit may happen between them and the effect.
        """
        self._supervisor = supervisor
        self._keeper = keeper

    async def restart(self, unit: Unit, order: RestartOrder) -> dict[str, Any]:
        """Restart a unit, or give the answer again that this attempt got before.

        Raises:
            StaleFence: a newer sender was seen.
            OtherIncarnation: the life that is meant is over.
            StackError: the stack is stopping.
            OSError: the fence could not be stored; nothing was done.
        """
        async with unit.order:
            if answer := self._keeper.answer(order.attempt_id):
                return {**answer, "repeated": True}
            self._refuse_when_stopping()
            self._keeper.admit(unit.plan.unit, order.fence)
            if order.incarnation is not None and order.incarnation != unit.incarnation:
                raise OtherIncarnation(unit.incarnation)
            _log.info("restart_ordered", unit=unit.plan.unit, attempt=order.attempt_id)
            answer = {"attempt_id": order.attempt_id, **await self._carry_out(unit)}
            self._keep(order.attempt_id, answer)
        return {**answer, "repeated": False}

    async def raise_fence(self, unit: Unit, fence: int) -> int:
        """Shut out older senders; when this returns, nothing that they ordered is still running."""
        async with unit.order:
            return self._keeper.raise_to(unit.plan.unit, fence)

    async def start(self, unit: Unit) -> None:
        """Start a unit for a person.

        Raises:
            StackError: the stack is stopping.
            SetupError: the program cannot be started.
        """
        async with unit.order:
            self._refuse_when_stopping()
            await unit.start()

    async def stop(self, unit: Unit) -> None:
        """Stop a unit for a person; it stays down until it is started."""
        async with unit.order:
            await unit.stop()

    def answer(self, attempt_id: str) -> dict[str, Any] | None:
        """Return the stored answer to an attempt, or None."""
        return self._keeper.answer(attempt_id)

    async def _carry_out(self, unit: Unit) -> dict[str, Any]:
        before = unit.incarnation
        try:
            await unit.restart()
        except Exception as error:  # noqa: BLE001 - a defect of ours too
            # Whatever it was, it is an answer: the process may be stopped by now, and without one
            # a probe would hear that the order never arrived.
            if not isinstance(error, SetupError):
                _log.exception("restart_crashed", unit=unit.plan.unit)
            reason = str(error) or type(error).__name__
            detail = f"{unit.plan.unit} was stopped and could not be started again: {reason}"
            return {"outcome": "failed", "incarnation": None, "pid": None, "detail": detail}
        return {
            "outcome": "succeeded",
            "incarnation": unit.incarnation,
            "pid": unit.child.pid if unit.child else None,
            "detail": f"{unit.plan.unit} was restarted: {before or 'nothing'} → {unit.incarnation}",
        }

    def _keep(self, attempt_id: str, answer: dict[str, Any]) -> None:
        try:
            self._keeper.record(attempt_id, answer)
        except OSError as error:  # it is known here until the disk takes it with the next change
            _log.error("answer_not_stored", attempt=attempt_id, reason=str(error))

    def _refuse_when_stopping(self) -> None:
        if self._supervisor.phase in {Phase.STOPPING, Phase.STOPPED}:
            raise StackError("the stack is stopping: nothing is started any more")
