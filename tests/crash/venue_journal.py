"""What the venue's journal says of the bot's orders: none came twice, none beside an open one.

And what the bot does with them while it may send none: nothing new, and its stops stay.
"""

from collections import defaultdict
from decimal import Decimal
from typing import Any

ASKED = frozenset({"client", "cancel_all"})
"""Why an order was cancelled at the venue: because the bot said so."""


class JournalChecks:
    """Reads entries of the journal, each once and in their order."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.orders = 0
        self.trades = 0
        self.strangers = Decimal(0)
        """The change of the BTC balance by manual trades."""

        self.must_not_trade = False
        """Whether the bot's run began in paper or halted, so that it sends nothing."""
        self.halted = False
        """Whether what comes next was done by a bot that is halted, or in paper."""

        self._held: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._stops: dict[str, Decimal] = {}
        self._wrong: list[str] = []
        self._sent: set[str] = set()
        self._open: dict[str, tuple[str, str]] = {}

    @property
    def covered(self) -> bool:
        """Whether a stop rests at the venue."""
        return bool(self._stops)

    def read(self, entries: list[dict[str, Any]]) -> None:
        """Take the next entries."""
        for entry in entries:
            match entry["event"]:
                case "order_added":
                    self._see_order(entry)
                case "order_cancelled":
                    self._see_stop_end(entry)
                    self._open.pop(entry["order"], None)
                case "order_filled":
                    self.trades += 1
                    self._see_stranger(entry)
                    self._see_fill(entry)
                    if Decimal(entry["remaining"]) == 0:
                        self._open.pop(entry["order"], None)
                case _:
                    pass

    def take(self) -> list[str]:
        """Return what was found wrong since it was last asked for, in sentences."""
        found, self._wrong = self._wrong, []
        return found

    def _see_order(self, entry: dict[str, Any]) -> None:
        if entry["client_order_id"] is None:
            return  # someone's manual order
        self.orders += 1
        name, what = entry["client_order_id"], (entry["symbol"], entry["side"])
        if name in self._sent:
            self._wrong.append(f"the order {name} came twice")
        if what in self._open.values():
            self._wrong.append(f"two orders to {what[1]} {what[0]} were open at once")
        if self.must_not_trade:
            self._wrong.append(f"the order {name} was sent by a bot that may send none")
        if entry["type"] == "stop-loss":
            self._stops[entry["order"]] = Decimal(entry["volume"])
        self._sent.add(name)
        self._open[entry["order"]] = what

    def _see_stranger(self, entry: dict[str, Any]) -> None:
        # By the journal and not by balances: the bot trades meanwhile.
        if entry["client_order_id"] is None and entry["symbol"] == "BTC/USD":
            volume = Decimal(entry["fill_volume"])
            self.strangers += volume if entry["side"] == "buy" else -volume

    def _see_fill(self, entry: dict[str, Any]) -> None:
        if entry["client_order_id"] is None:
            return
        volume = Decimal(entry["fill_volume"])
        self._held[entry["symbol"]] += volume if entry["side"] == "buy" else -volume
        if entry["order"] in self._stops:
            self._stops[entry["order"]] = Decimal(entry["remaining"])

    def _see_stop_end(self, entry: dict[str, Any]) -> None:
        left = self._stops.pop(entry["order"], None)
        if left is None or not self.halted or entry["reason"] not in ASKED:
            return
        if left <= (held := self._held[entry["symbol"]]):  # one for more than is held may go
            what = f"{left} of {entry['symbol']}, of which {held} is held"
            self._wrong.append(f"a bot that may send nothing cancelled its stop for {what}")
