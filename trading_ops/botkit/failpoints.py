"""Named places at which a bot's death hurts most; the crash tests kill it at each of them.

In production `reached` does nothing: nobody has set a watcher, and nothing in the environment or
the settings can.
"""

from collections.abc import Callable
from enum import StrEnum


class Place(StrEnum):
    """Where a bot may die; in the order in which an order passes them."""

    INTENT = "intent"
    """An order was decided, and is not written down."""

    INTENT_STORED = "intent_stored"
    """It is written down, and not sent."""

    SUBMITTED = "submitted"
    """The venue has answered, and the answer is not stored."""

    ACCEPTED = "accepted"
    """That the venue has the order is stored."""

    CANCELLING = "cancelling"
    """An order is about to be cancelled."""

    CANCELLED = "cancelled"
    """The venue has answered the cancel, and what became of the order is not heard."""

    CHANGE = "change"
    """A change of the records is about to be stored: a fill, an end, an adoption."""

    CHANGE_STORED = "change_stored"
    """It is stored, and memory does not know it yet."""

    GATHERED = "gathered"
    """Both sides of a comparison were read, and nothing of it was judged."""

    HEALING = "healing"
    """A step of a comparison is about to be taken."""

    HEALED = "healed"
    """It was taken."""

    RECORDS_BEGUN = "records_begun"
    """The venue's balances were adopted, and the watermark is not stored."""

    HOLDING = "holding"
    """The bot is about to be held."""

    HELD = "held"
    """It is held, durably."""

    RECOVERED = "recovered"
    """The comparison at the start ended well, and nothing was submitted."""

    WINDING = "winding"
    """The dead-man switch is about to be wound."""

    WOUND = "wound"
    """It is wound."""

    FAREWELL = "farewell"
    """The bot is stopping, and its orders are not cancelled."""

    LEFT = "left"
    """Its orders are cancelled, and the dead-man switch is armed."""

    DISARMED = "disarmed"
    """Nothing is open, and the switch is off."""

    ENDING = "ending"
    """That this life ended in order is about to be written down."""

    ENDED = "ended"
    """It is written down, and everything runs still."""


_watchers: list[Callable[[Place], None]] = []


def reached(place: Place) -> None:
    """Tell whoever watches that the bot is here."""
    for watcher in _watchers:
        watcher(place)


def watch(watcher: Callable[[Place], None]) -> None:
    """Have a function called at each place; for crash tests."""
    _watchers.append(watcher)
