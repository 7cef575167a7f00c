"""A venue that answers but accepts no orders: all its watched markets are closed."""

import contextlib

from trading_ops.cli.exporter_config import SYMBOLS
from trading_ops.domain.target import Target
from trading_ops.errors import ClientError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.base import Fault


class ClosedMarkets(Fault):
    """Every watched market accepts only cancels, as outside of its hours."""

    describe = f"the venue reports that {' and '.join(SYMBOLS)} are closed"

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Close them one after the other; if one fails, reopen the others."""
        port, closed = scene.faults(bot), list[str]()
        try:
            for symbol in SYMBOLS:
                closed.append(await port.inject("pair_status", pair=symbol, status="cancel_only"))
        except ClientError:
            with contextlib.suppress(ClientError):
                await self.clean_up(scene, bot, " ".join(closed))
            raise
        return " ".join(closed)

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Reopen them."""
        for part in key.split():
            await scene.faults(bot).clear(part)
