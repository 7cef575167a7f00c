"""What a fault is: how to break the stack, how to clean up, and who saw the cure."""

from typing import Protocol

from trading_ops.domain.target import Target
from trading_ops.stack.scene import Scene


class Fault(Protocol):
    """One way to break the local stack."""

    describe: str

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Break it; return what is needed to clean up, or nothing."""

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Take away what is left of it; must not mend what the drill wants mended."""

    async def witness(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Return what an uninvolved party saw of the cure since a moment, or None: nothing."""
