"""Money leaves the bot's account, and the venue's history does not explain it."""

from collections.abc import Mapping
from decimal import Decimal

import psutil

from trading_ops import clock
from trading_ops.clients.reconciler_views import HoldView
from trading_ops.domain.target import Target
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.drills.preflight import OWNER
from trading_ops_lab.faults.account import look, order, until
from trading_ops_lab.faults.base import Fault
from trading_ops_lab.faults.frozen_processes import pid_of

TAKEN: Mapping[str, tuple[str, Decimal]] = {
    "BTC/USD": ("XBT", Decimal("0.00005")),
    "ETH/USD": ("ETH", Decimal("0.001")),
}
"""Missing amount by asset: about three US dollars of paper money."""

CASH = "ZUSD", Decimal(1)

HOLDS_SECONDS = 180.0
"""Time within which the bot's strategy certainly buys something."""

HOLDS = "recovery-"
"""Prefix of the ids of holds that the bot places on itself for unexplained changes."""


class UnexplainedWithdrawal(Fault):
    """An error of the venue: software cannot tell which side is wrong, so an operator decides.

    The bot's comparison, made each minute, is triggered at once, as for orphaned orders.
    """

    describe = "a balance of the bot's account shrinks without an entry in the venue's ledger"
    needs_operator = True
    expected_failures = frozenset({"reconcile_positions"})

    def __init__(self) -> None:
        self._since = 0.0
        self._asset, self._amount = CASH

    async def ready(self, scene: Scene, bot: Target) -> None:
        """Wait until it has a position: without one, only a balance would differ.

        Raises:
            StackError: it bought nothing.
        """
        symbol = await until(
            lambda: held(scene, bot),
            f"{bot.name} has no position that could be missing",
            within=HOLDS_SECONDS,
        )
        self._asset, self._amount = TAKEN[symbol]

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Remove some of it, and make the bot compare its records with its venue."""
        self._since = clock.timestamp()
        await scene.faults(bot).deposit(bot.name, self._asset, -self._amount, booked=False)
        try:
            await look(scene, bot)
        except BaseException:
            await self.clean_up(scene, bot, bot.name)
            raise
        return bot.name

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Follow the runbook: accept the venue's balance, then release the bot's own hold."""
        owes = f"the venue owes {self._amount} of {self._asset}"
        await order(scene, bot, "accept_venue", owner=OWNER, reason=owes)
        placed = [hold.id for hold in await self._holds(scene, bot)]
        if placed:
            await scene.reconciler.release(key, holds=placed, owner=OWNER, reason="settled")

    async def evidence(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Check that the bot holds itself, was not replaced, and has sent no order since."""
        holds = await self._holds(scene, bot)
        process = psutil.Process(await pid_of(scene, bot))
        if not holds or process.create_time() >= since:
            return None
        halted = min(hold.at.timestamp() for hold in holds)
        journal = await scene.faults(bot).journal(since=halted)
        if any(event.event == "order_added" and event.account == bot.name for event in journal):
            return None
        return (
            f"process {process.pid} still runs, and the venue's journal has no order from it "
            "since the bot halted itself"
        )

    async def _holds(self, scene: Scene, bot: Target) -> list[HoldView]:
        return [
            hold
            for target in await scene.reconciler.targets()
            for hold in target.holds
            if target.name == bot.name
            and hold.id.startswith(HOLDS)
            and hold.at.timestamp() >= self._since
        ]


class UnexplainedCashWithdrawal(UnexplainedWithdrawal):
    """The same with the quote currency: no position differs, so no action runs."""

    describe = "US dollars of the account are missing, without an entry in the venue's ledger"
    needs_operator = False
    expected_failures = frozenset()

    async def ready(self, scene: Scene, bot: Target) -> None:
        """It needs no position."""


async def held(scene: Scene, bot: Target) -> str | None:
    """Return a symbol in which the bot has a position, from its metrics; None if it has none."""
    found = await scene.prometheus.query(f'trading_position{{bot="{bot.name}"}} > 0')
    symbols = {sample.labels.get("symbol", "") for sample in found}
    return next((symbol for symbol in TAKEN if symbol in symbols), None)
