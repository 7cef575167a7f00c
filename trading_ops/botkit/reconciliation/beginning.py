"""Takes over an account of which there are no records: at the first start, or after a loss.

The venue's history tells of orders that are ours by their ids. With them the positions are whole
again; without all of it, nobody knows what the bot holds.
"""

from collections.abc import Callable, Iterable

from trading_ops import logs
from trading_ops.botkit.failpoints import Place, reached
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.reconciliation.findings import Adopt, CountLedger, CountTrade, Step
from trading_ops.botkit.reconciliation.gather import Caller
from trading_ops.botkit.reconciliation.heal import adopted_of, heal
from trading_ops.botkit.reconciliation.sides import Theirs
from trading_ops.botkit.records.store import Store

log = logs.get(__name__)

Hold = Callable[[str, str], None]
"""Lays a hold that halts the bot: its id and the reason. Durable when it returns; in force, and
`Unavailable` is raised, when it could not be stored."""

WATERMARK = "history_since"
OVERLAP_SECONDS = 300.0
"""History is asked for from so long before the last whole look: clocks differ, pages come late."""


class Beginning:
    """Heals by the whole history, then adopts the balances as they are."""

    def __init__(self, broker: Caller, book: Book, store: Store, hold: Hold) -> None:
        """Take what it works with."""
        self._broker = broker
        self._book = book
        self._store = store
        self._hold = hold

    async def begin(self, steps: Iterable[Step], theirs: Theirs) -> None:
        """Take up what the venue tells.

        Args:
            steps: what a comparison with no records would heal.
            theirs: what that comparison saw of the venue.

        Raises:
            Unavailable: the venue or the store could not be asked.
            VenueRefused: the venue refused to tell.
            StoreError: the records could not be written.
        """
        steps = tuple(steps)
        rebuilt = [step for step in steps if isinstance(step, Adopt)]
        if rebuilt and not theirs.history.complete:
            self._hold(
                "recovery-partial_history",
                "the records were lost, and the venue does not tell the whole history",
            )
        for step in steps:
            await self._take_over(step, theirs.snapshot.at)
        totals = {name: one.total for name, one in theirs.snapshot.balances.items()}
        # Before the balances: with them and without it, a bot that died in between would count the
        # whole history again, on top of balances that it is in.
        await self._store.set_fact(WATERMARK, theirs.snapshot.at)
        await self._book.adopt_balances(totals)
        reached(Place.RECORDS_BEGUN)
        log.info("records_begun", orders_found=len(rebuilt), currencies=len(totals))

    async def _take_over(self, step: Step, at: float) -> None:
        """Heal before balances were adopted: what happened until then is in them."""
        if not isinstance(step, CountTrade | CountLedger):
            await heal(step, self._book, self._broker)
            return
        adopted = adopted_of(step)
        # What is older is never asked for again.
        if adopted.at >= at - 2 * OVERLAP_SECONDS:
            await self._book.adopt(adopted, amounts={}, code="already_counted")
