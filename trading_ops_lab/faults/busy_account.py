"""Transfers on the bot's account: each makes the bot request its history.

As caused by a payment service or a sweep of small balances on a bot's account. After each transfer
the bot compares its records with the venue, which takes about seven requests, until it exceeds the
sustained rate of its tier.
"""

import asyncio
import itertools
from decimal import Decimal
from typing import Final

from trading_ops.domain.target import Target
from trading_ops.errors import ClientError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.account import order
from trading_ops_lab.faults.base import Fault
from trading_ops_lab.faults.venue_faults import JournalEntry

ASSET: Final = "ZUSD"
AMOUNT: Final = Decimal("0.01")
EVERY_SECONDS: Final = 5.5
"""Above the sustained rate of the bot's tier, and below it with longer pauses."""

WOUND: Final = "dead_man_armed"
SPARING_SECONDS: Final = 7.0
"""Between two renewals of the bot's dead man's switch: it renews at the end of the first pass that
ends 5 s after the last renewal, so after 6 s, or after 8 s with pauses four times as long."""


class BusyAccount(Fault):
    """Endless transfers; the venue's journal shows that the bot sends fewer requests."""

    describe = (
        f"every {EVERY_SECONDS:g} s a transfer changes the balance of the bot's account, and the "
        "bot requests its history"
    )

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Make the first transfer, and keep making more.

        Raises:
            Refused: unknown account.
            Unreachable: the venue did not answer.
        """
        await scene.faults(bot).deposit(bot.name, ASSET, AMOUNT)
        self._task = asyncio.create_task(_go_on(scene, bot))
        return bot.name

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Stop the transfers, and end the throttling of the bot."""
        del key
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        await order(scene, bot, "throttle_load", seconds="0")

    async def evidence(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Read from the venue's journal how often the bot renews its dead man's switch."""
        pause = latest_pause(await scene.faults(bot).journal(since=since), bot.name)
        if pause < SPARING_SECONDS:
            return None
        return (
            f"the venue's journal shows the dead man's switch refreshed after {pause:.0f} s, not 6"
        )


def latest_pause(journal: list[JournalEntry], account: str) -> float:
    """Return the seconds between the last two renewals of an account's switch; 0 without two."""
    wound = [event.time for event in journal if event.event == WOUND and event.account == account]
    return wound[-1] - wound[-2] if len(wound) > 1 else 0.0


async def _go_on(scene: Scene, bot: Target) -> None:
    """Each deposit is withdrawn by the next transfer, so that the balance hardly changes."""
    for amount in itertools.cycle((-AMOUNT, AMOUNT)):
        await asyncio.sleep(EVERY_SECONDS)
        try:
            await scene.faults(bot).deposit(bot.name, ASSET, amount)
        except ClientError:
            continue  # the next one may succeed
