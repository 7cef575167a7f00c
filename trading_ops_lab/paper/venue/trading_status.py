"""The trading status of the venue and its pairs, from faults."""

from typing import Final

from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.faults import FaultBoard, Status
from trading_ops_lab.paper.venue.orders import NewOrder
from trading_ops_lab.paper.venue.pairs import find_pair

MATCHING: Final = frozenset({"online", "limit_only"})
"""States in which orders are matched."""


class TradingStatus:
    """Answers for the venue and its pairs."""

    def __init__(self, board: FaultBoard) -> None:
        self._board = board

    def system(self) -> Status:
        """Return the state of the whole venue."""
        fault = self._board.find("maintenance")
        return "online" if fault is None else fault.status

    def pair(self, pair_id: str) -> Status:
        """Return the state of one pair."""
        system = self.system()
        if system != "online":
            return system
        for fault in reversed(self._board.all("pair_status")):
            if find_pair(fault.pair).id == pair_id:
                return fault.status
        return "online"

    def matches(self, pair_id: str) -> bool:
        """Return whether orders of a pair are matched now."""
        return self.pair(pair_id) in MATCHING

    def require_service(self) -> None:
        """Check that orders can be sent and cancelled.

        Raises:
            VenueRefusal: the venue is in maintenance.
        """
        if self.system() == "maintenance":
            raise VenueRefusal("EService:Unavailable")

    def require_open(self, new: NewOrder) -> None:
        """Check that a pair accepts an order of this kind now.

        Raises:
            VenueRefusal: it does not; with Kraken's error message.
        """
        status = self.pair(new.pair)
        if status == "maintenance":
            raise VenueRefusal("EService:Unavailable")
        wrong = {
            "online": False,
            "cancel_only": True,
            "post_only": "post" not in new.flags,
            "limit_only": new.kind != "limit",
        }
        if wrong[status]:
            raise VenueRefusal(f"EService:Market in {status} mode")
