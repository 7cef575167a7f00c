"""Base of faults: how to break the stack, how to clean up, and how to verify the fix."""

from abc import ABC, abstractmethod
from typing import ClassVar

from trading_ops.domain.target import Target
from trading_ops_lab.drills.lab_clients import Scene


class Fault(ABC):
    """One way to break the local stack; it lasts until it is fixed."""

    describe: str

    blocks_notifications: bool = False
    """The reconciler gets no notifications while it lasts; only Prometheus is queried."""

    needs_operator: ClassVar[bool] = False
    """No step can fix it: all are tried, then the incident is escalated."""

    expected_failures: ClassVar[frozenset[str]] = frozenset()
    """Actions that may run, also for another alert of the same fault, but cannot help."""

    async def ready(self, scene: Scene, bot: Target) -> None:  # noqa: B027 - often at once
        """Wait for the precondition; the time of the drill starts afterwards."""

    @abstractmethod
    async def inject(self, scene: Scene, bot: Target) -> str:
        """Break it; return what is needed to clean up, or nothing."""

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:  # noqa: B027 - often nothing
        """Undo the fault; `key` is what `inject` returned."""

    async def evidence(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Return independent evidence of the fix since `since`; None: none yet.

        A page-only fault, which is not remediated, has no evidence.
        """
        del scene, bot, since
        return None
