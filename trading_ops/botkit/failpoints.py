"""Named points at which a crash of the bot is most dangerous; crash tests kill the bot at each.

In production `reached` does nothing: only a test can add a watcher, never a setting or the
environment.

    failpoints.watch(lambda point: point is Failpoint.SUBMITTED and os.kill(os.getpid(), SIGKILL))
"""

from collections.abc import Callable
from enum import StrEnum


class BotFailpoint(StrEnum):
    """The points, roughly in the order in which an order and then a shutdown pass them."""

    INTENT = "intent"
    """An order is decided and not recorded yet."""

    INTENT_STORED = "intent_stored"
    """The order is recorded and not sent yet."""

    SUBMITTED = "submitted"
    """The venue has answered, and the answer is not stored yet."""

    ACCEPTED = "accepted"
    """The venue's acknowledgement is stored."""

    CANCELLING = "cancelling"
    """A cancel request is about to be sent."""

    CANCELLED = "cancelled"
    """The venue has answered the cancel request; the order's final state is not known yet."""

    CHANGE = "change"
    """A change of the records (a fill, a final order state, an adoption) is about to be stored."""

    CHANGE_STORED = "change_stored"
    """The change is stored, and the copy in memory is not updated yet."""

    COLLECTED = "collected"
    """A reconciliation has read both sides and not compared them yet."""

    STEP_APPLYING = "step_applying"
    """A correction of a reconciliation is about to be applied."""

    STEP_APPLIED = "step_applied"
    """The correction is applied."""

    BALANCES_ADOPTED = "balances_adopted"
    """The venue's balances are adopted at the first start; the watermark is not stored yet."""

    HOLD_PLACING = "hold_placing"
    """A hold on trading is about to be placed."""

    HOLD_STORED = "hold_stored"
    """The hold is durable."""

    RECOVERED = "recovered"
    """The reconciliation at startup succeeded; no order has been submitted yet."""

    DEADMAN_RENEWING = "deadman_renewing"
    """The dead man's switch is about to be renewed."""

    DEADMAN_RENEWED = "deadman_renewed"
    """The dead man's switch is renewed."""

    SHUTDOWN_STARTED = "shutdown_started"
    """The bot is stopping, and its orders are still open."""

    ORDERS_CANCELLED = "orders_cancelled"
    """Its orders are cancelled, and the dead man's switch is still armed."""

    DEADMAN_DISARMED = "deadman_disarmed"
    """No order is open, and the dead man's switch is off."""

    RUN_END_STORING = "run_end_storing"
    """The clean end of this run is about to be recorded."""

    RUN_END_STORED = "run_end_stored"
    """The clean end is recorded; the components still run."""


_watchers: list[Callable[[BotFailpoint], None]] = []


def reached(point: BotFailpoint) -> None:
    """Call the watchers, if there are any; the code of the bot calls this at each point."""
    for watcher in _watchers:
        watcher(point)


def watch(watcher: Callable[[BotFailpoint], None]) -> None:
    """Call `watcher` at each point from now on; for crash tests."""
    _watchers.append(watcher)
