"""What the venue's journal says of the bot's orders: none came twice, none beside an open one."""

from decimal import Decimal
from typing import Any


class Witness:
    """Reads entries of the journal, each once and in their order."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.orders = 0
        self.trades = 0
        self.strangers = Decimal(0)
        """What somebody's trades by hand have changed the holding of BTC by."""

        self._wrong: list[str] = []
        self._sent: set[str] = set()
        self._open: dict[str, tuple[str, str]] = {}

    def read(self, entries: list[dict[str, Any]]) -> None:
        """Take the next entries."""
        for entry in entries:
            match entry["event"]:
                case "order_added":
                    self._see_order(entry)
                case "order_cancelled":
                    self._open.pop(entry["order"], None)
                case "order_filled":
                    self.trades += 1
                    self._see_stranger(entry)
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
            return  # somebody's, by hand
        self.orders += 1
        name, what = entry["client_order_id"], (entry["symbol"], entry["side"])
        if name in self._sent:
            self._wrong.append(f"the order {name} came twice")
        if what in self._open.values():
            self._wrong.append(f"two orders to {what[1]} {what[0]} were open at once")
        self._sent.add(name)
        self._open[entry["order"]] = what

    def _see_stranger(self, entry: dict[str, Any]) -> None:
        # By the journal and not by balances: the bot trades meanwhile.
        if entry["client_order_id"] is None and entry["symbol"] == "BTC/USD":
            volume = Decimal(entry["fill_volume"])
            self.strangers += volume if entry["side"] == "buy" else -volume
