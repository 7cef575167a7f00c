"""Initializes the records from the venue: at the first start, or after the records were lost.

The venue's history contains the bot's own orders, recognized by their client ids. From them the
positions are rebuilt. If the venue does not return the whole history, the positions may be
incomplete and the bot is halted.
"""

from collections.abc import Callable, Iterable

from trading_ops import logs
from trading_ops.botkit.failpoints import BotFailpoint, reached
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.reconciliation.apply import apply_step, counted_event
from trading_ops.botkit.reconciliation.findings import (
    AdoptOrder,
    CountLedgerEntry,
    CountTrade,
    Step,
)
from trading_ops.botkit.reconciliation.state import VenueState
from trading_ops.botkit.records.store import Store
from trading_ops.botkit.venue.adapter import VenueCaller

log = logs.get(__name__)

PlaceHold = Callable[[str, str], None]
"""Places a hold that halts the bot: its id and the reason. The hold is stored when the call
returns; `Unavailable` means that it is in force but could not be stored."""

WATERMARK = "history_since"
"""The fact with the time from which the history is still to be read."""

OVERLAP_SECONDS = 300.0
"""How far before the watermark history is read again: clocks differ, and pages arrive late."""


class FirstStart:
    """Applies the whole history, then takes the venue's balances as the expected ones."""

    def __init__(
        self, broker: VenueCaller, book: Book, store: Store, place_hold: PlaceHold
    ) -> None:
        """Set up one initialization.

        Args:
            broker: makes the requests to the venue.
            book: of orders and positions, empty.
            store: the records.
            place_hold: halts the bot.
        """
        self._broker = broker
        self._book = book
        self._store = store
        self._place_hold = place_hold

    async def run(self, steps: Iterable[Step], venue: VenueState) -> None:
        """Initialize the records.

        Args:
            steps: of a comparison with empty records.
            venue: what that comparison read.

        Raises:
            Unavailable: the venue or the store could not be queried.
            VenueRefused: the venue refused a request.
            StoreError: the records could not be written.
        """
        steps = tuple(steps)
        rebuilt = [step for step in steps if isinstance(step, AdoptOrder)]
        if rebuilt and not venue.history.complete:
            self._place_hold(
                "recovery-partial_history",
                "the records were lost, and the venue does not return the whole history",
            )
        for step in steps:
            await self._apply(step, venue.snapshot.at)
        totals = {name: balance.total for name, balance in venue.snapshot.balances.items()}
        # The watermark before the balances: a crash after adopting balances without a watermark
        # would count the whole history again, on top of balances that already include it.
        await self._store.set_fact(WATERMARK, venue.snapshot.at)
        await self._book.adopt_balances(totals)
        reached(BotFailpoint.BALANCES_ADOPTED)
        log.info("records_created", orders_found=len(rebuilt), currencies=len(totals))

    async def _apply(self, step: Step, at: float) -> None:
        """Apply a step; external changes are only marked: the balances already include them."""
        if not isinstance(step, CountTrade | CountLedgerEntry):
            await apply_step(step, self._book, self._broker)
            return
        counted = counted_event(step)
        # Older ones are before the watermark and are never read again.
        if counted.at >= at - 2 * OVERLAP_SECONDS:
            await self._book.adopt(counted, amounts={}, code="already_counted")
