"""What a fault is: how to break the stack, how to clean up, and who saw the cure."""

from abc import ABC, abstractmethod
from typing import ClassVar

from trading_ops.domain.target import Target
from trading_ops_lab.drills.lab_clients import Scene


class Fault(ABC):
    """One way to break the local stack; it lasts until something or somebody mends it."""

    describe: str

    deafens: bool = False
    """The reconciler cannot hear of it while it lasts: until then only Prometheus is asked."""

    left_to_people: ClassVar[bool] = False
    """No step can mend it: they are tried, and then people have to."""

    tolerates: ClassVar[frozenset[str]] = frozenset()
    """Actions that it leads to, be it by another alert of the same fault, and that cannot help."""

    async def ready(self, scene: Scene, bot: Target) -> None:  # noqa: B027 - often at once
        """Wait until the bot is as it has to be for it; the time of the drill begins afterwards."""

    @abstractmethod
    async def inject(self, scene: Scene, bot: Target) -> str:
        """Break it; return what is needed to clean up, or nothing."""

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:  # noqa: B027 - often nothing
        """Take away what is left of it; must not mend what the drill wants mended."""

    async def witness(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Return what an uninvolved party saw since a moment, of the cure or of what had to be.

        None: nothing. A fault for people, which nobody cures, has none.
        """
        del scene, bot, since
        return None
