"""A fault shared by parallel drills: it is removed once all of them are done."""

import asyncio

from trading_ops.domain.target import Target
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.base import Fault


class Shared(Fault):
    """Delegates to another fault: the first drill injects it, the last one removes it."""

    def __init__(self, inner: Fault) -> None:
        """Wrap another fault."""
        self.describe = inner.describe
        self.blocks_notifications = inner.blocks_notifications
        self._inner = inner
        self._users = 0
        self._key: asyncio.Future[str] | None = None
        self._repaired = asyncio.Event()

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Inject the fault, unless another drill has."""
        self._users += 1
        if self._key is None:
            self._repaired.clear()
            self._key = asyncio.ensure_future(self._inner.inject(scene, bot))
        try:
            return await asyncio.shield(self._key)
        except BaseException:
            self._leave()
            raise

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Remove the fault if no other drill needs it, else wait for the others."""
        self._leave()
        if self._users:
            await self._repaired.wait()
            return
        try:
            await self._inner.clean_up(scene, bot, key)
        finally:
            self._repaired.set()

    async def evidence(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Delegate to the other fault."""
        return await self._inner.evidence(scene, bot, since)

    def _leave(self) -> None:
        self._users -= 1
        if not self._users:
            self._key = None
