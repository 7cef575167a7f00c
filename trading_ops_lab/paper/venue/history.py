"""The private methods that return history in pages: trades and the ledger."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from trading_ops import clock
from trading_ops_lab.paper.venue import form_fields, rest_shapes
from trading_ops_lab.paper.venue.engine import Engine
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.faults import Caller
from trading_ops_lab.paper.venue.form_fields import Form
from trading_ops_lab.paper.venue.pairs import find_asset
from trading_ops_lab.paper.venue.store import Store

PAGE: Final = 50
"""Maximum orders, trades or entries in one answer."""

FOREVER: Final = form_fields.LARGEST_NUMBER
"""A time after all others, in epoch seconds."""

EVERYTHING: Final = ("", "all")

Lookup = Callable[[str], float | None]


class Window(msgspec.Struct, frozen=True):
    """The requested period: after `start`, not after `end`, from an offset on."""

    start: float
    end: float
    offset: int

    @classmethod
    def read(cls, form: Form, moment: Lookup) -> "Window":
        """Read `start`, `end` and `ofs`; the first two may be ids instead of times.

        Raises:
            VenueRefusal: one of them is neither.
        """
        return cls(
            _moment(form, "start", 0, moment),
            _moment(form, "end", FOREVER, moment),
            int(form_fields.number(form, "ofs", 0)),
        )

    def has(self, time: float) -> bool:
        """Return whether a time is in the period."""
        return self.start < time <= self.end

    @property
    def slice(self) -> slice:
        """Return the slice of the page in the results."""
        return slice(self.offset, self.offset + PAGE)


class History:
    """One method per Kraken endpoint; each takes the caller and the form."""

    def __init__(self, engine: Engine, store: Store) -> None:
        """Read from the store what the engine allows to be reported."""
        self._engine, self._store = engine, store
        self.methods: dict[str, Callable[[Caller, Form], rest_shapes.Answer]] = {
            "TradesHistory": self.trades_history,
            "QueryTrades": self.query_trades,
            "Ledgers": self.ledgers,
            "QueryLedgers": self.query_ledgers,
        }

    def trades_history(self, caller: Caller, form: Form) -> rest_shapes.Answer:
        """Return a page of the account's trades, the latest first."""

        def moment(trade_id: str) -> float | None:
            trade = self._store.trade(caller.account, trade_id)
            return None if trade is None else trade.time

        window = Window.read(form, moment)
        late = self._late()
        trades, count = self._store.trades(
            caller.account, window.start, window.end, window.offset, PAGE, hidden=late
        )
        return page("trades", {trade.id: rest_shapes.trade(trade) for trade in trades}, count, form)

    def query_trades(self, caller: Caller, form: Form) -> rest_shapes.Answer:
        """Return trades by their ids; unknown ones are omitted."""
        ids, late = form_fields.text(form, "txid").split(",")[:PAGE], self._late()
        found = (self._store.trade(caller.account, name.strip()) for name in ids)
        return {
            trade.id: rest_shapes.trade(trade) for trade in found if trade and trade.id not in late
        }

    def ledgers(self, caller: Caller, form: Form) -> rest_shapes.Answer:
        """Return a page of the account's ledger entries, newest first."""

        def moment(entry_id: str) -> float | None:
            entry = self._store.entry(caller.account, entry_id)
            return None if entry is None else entry.time

        window = Window.read(form, moment)
        kind, asset = form_fields.text(form, "type"), form_fields.text(form, "asset")
        entries, count = self._store.ledger(
            caller.account,
            window.start,
            window.end,
            window.offset,
            PAGE,
            asset="" if asset in EVERYTHING else find_asset(asset).id,
            kind="" if kind in EVERYTHING else kind,
        )
        return page(
            "ledger", {entry.id: rest_shapes.ledger_entry(entry) for entry in entries}, count, form
        )

    def query_ledgers(self, caller: Caller, form: Form) -> rest_shapes.Answer:
        """Return ledger entries by their ids; unknown ones are omitted."""
        ids = form_fields.text(form, "id").split(",")[:PAGE]
        found = (self._store.entry(caller.account, name.strip()) for name in ids)
        return {entry.id: rest_shapes.ledger_entry(entry) for entry in found if entry}

    def _late(self) -> list[str]:
        clearing, now = self._engine.clearing, clock.timestamp()
        return [name for name in list(clearing.late) if not clearing.known(name, now)]


def page(name: str, shown: dict[str, Any], count: int, form: Form) -> rest_shapes.Answer:
    """Return a page and, if requested, the total count."""
    return (
        {name: shown} if form_fields.truth(form, "without_count") else {name: shown, "count": count}
    )


def _moment(form: Form, name: str, default: float, moment: Lookup) -> float:
    given = form_fields.text(form, name)
    if "-" in given.lstrip("-"):
        found = moment(given)
        if found is None:
            raise VenueRefusal(f"EGeneral:Invalid arguments:{name}")
        return found
    return form_fields.number(form, name, default)
