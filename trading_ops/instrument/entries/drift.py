"""What our records and the venue's disagree on, and how the comparison went."""

from trading_ops.instrument.entries.kinds import bot_counter, bot_gauge
from trading_ops.instrument.metric import Metric

COMPARISONS = ("clean", "healed", "drifted", "failed")
DISCREPANCIES = (
    "orphaned_order",
    "lost_order",
    "missed_fill",
    "unknown_fill",
    "finished_order",
    "quantity_smaller",
    "quantity_larger",
    "side_flipped",
    "external_trade",
    "partial_history",
    "balance",
)

DRIFT: tuple[Metric, ...] = (
    bot_gauge(
        name="trading_position_drift",
        labels=("symbol",),
        vital=True,
        help="Position in our records minus the venue's, in base currency, once confirmed by a "
        "second read with no order in flight.",
        why="The bot decides on a position that it does not have.",
    ),
    bot_gauge(
        name="trading_balance_drift",
        labels=("currency",),
        help="Balance in our records minus the venue's, in units of the currency.",
        why="Fees, deposits or somebody else's trades that the records do not know.",
    ),
    bot_gauge(
        name="trading_orphaned_orders",
        vital=True,
        help="Orders that rest at the venue and that our records do not know.",
        why="They may fill at any moment, and nobody manages them.",
    ),
    bot_gauge(
        name="trading_missing_orders",
        vital=True,
        help="Orders that are open in our records and that the venue does not know.",
        why="The bot counts on orders that are not there.",
    ),
    bot_gauge(
        name="trading_recovery_complete",
        vital=True,
        help="1 when the comparison with the venue at the start ended well, 0 until then; absent "
        "where none is made.",
        why="A bot that stays at 0 does not trade: what it found must be settled by a person.",
    ),
    bot_gauge(
        name="trading_startup_reconciliation_duration_seconds",
        unit="seconds",
        help="How long the comparison with the venue at the start took until it ended well; absent "
        "until then.",
        why="The time after a restart in which the bot looks after nothing new.",
    ),
    bot_gauge(
        name="trading_reconciliation_timestamp_seconds",
        unit="seconds",
        vital=True,
        help="Time of the last whole comparison with the venue, since the epoch; absent until one.",
        why="No drift is only good news while somebody looks.",
    ),
    bot_counter(
        name="trading_reconciliations_total",
        labels=("result",),
        values={"result": COMPARISONS},
        help="Comparisons with the venue by result; a failed one says nothing about positions.",
        why="Comparisons that fail or always heal something point to a fault in the records.",
    ),
    bot_counter(
        name="trading_discrepancies_total",
        labels=("cause",),
        values={"cause": DISCREPANCIES},
        help="Differences from the venue that were found, by cause.",
        why="Tells what happened while the bot was down, or beside it.",
    ),
)
