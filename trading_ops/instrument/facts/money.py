"""Positions, balances and profit; all absent until they are said, for no money is no zero.

An amount that is NaN or infinite is refused and counted, and the last one stays.
"""

import time

from trading_ops.instrument.facts.recording import only, put
from trading_ops.instrument.recorder import Recorder


class MoneyFacts:
    """What a bot says of what it has."""

    def position(self, symbol: str, quantity: float) -> None:
        """The bot holds so many units of the symbol's base currency."""
        put(self._position, symbol, quantity, self._refused)

    def balance(self, currency: str, amount: float) -> None:
        """The account holds so much of a currency."""
        put(self._balance, currency, amount, self._refused)

    def balances_read(self, source: str, at: float | None = None) -> None:
        """The balances in use are of now, or of this time in seconds since the epoch.

        Args:
            source: that they came from: websocket, rest or last_good.
            at: when they were read; for `last_good` ones, when that was.
        """
        only(self._balance_source, source)
        self._balance_time.labels().value = time.time() if at is None else at

    def balances_contradicted(self) -> None:
        """The venue's feed told other balances than its REST answers."""
        self._contradictions.value += 1

    def equity(self, currency: str, amount: float) -> None:
        """Balances and positions are worth so much at current prices."""
        put(self._equity, currency, amount, self._refused)

    def profit(self, currency: str, *, realized: float, unrealized: float) -> None:
        """Closed positions brought so much, and open ones would at current prices."""
        put(self._realized, currency, realized, self._refused)
        put(self._unrealized, currency, unrealized, self._refused)

    def _register_money(
        self, recorder: Recorder, symbols: tuple[str, ...], currencies: tuple[str, ...]
    ) -> None:
        by_symbol, by_currency = {"symbol": symbols}, {"currency": currencies}
        self._refused = recorder.counter("trading_values_refused_total")
        self._position = recorder.gauge("trading_position", by_symbol, at_once=False)
        self._balance = recorder.gauge("trading_balance", by_currency, at_once=False)
        self._equity = recorder.gauge("trading_equity", by_currency, at_once=False)
        self._realized = recorder.gauge("trading_realized_pnl", by_currency, at_once=False)
        self._unrealized = recorder.gauge("trading_unrealized_pnl", by_currency, at_once=False)
        self._balance_time = recorder.gauge("trading_balance_timestamp_seconds", at_once=False)
        self._contradictions = recorder.counter("trading_balance_contradictions_total").labels()
        self._balance_source = recorder.gauge("trading_balance_source", at_once=False)
