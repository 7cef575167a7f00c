"""The one object through which a bot says what it does."""

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, ProcessCollector

from trading_ops.instrument.entries.components import COMPONENTS, STATES
from trading_ops.instrument.recorder import Recorder
from trading_ops.instrument.ticks import SymbolFeed


class BotMetrics:
    """Records what a trading bot does; safe to call from coroutines and from threads.

    Every method is cheap, never blocks and never raises for a label value that was not declared:
    such a value is recorded under `other`, and counted. Known label sets are exported as zero from
    the start, apart from money, where a zero before the first reading would look like a loss.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        version: str,
        mode: str,
        symbols: Iterable[str] = (),
        currencies: Iterable[str] = (),
        endpoints: Iterable[str] = (),
        components: Iterable[str] = COMPONENTS,
        started_at: float | None = None,
        undeclared: int = 0,
    ) -> None:
        """Register all metrics of a bot.

        Args:
            registry: where to register; by default a new one with the process's own metrics.
            version: of the bot, for `trading_bot_info`.
            mode: `paper` or `live`, for `trading_bot_info`.
            symbols: that it trades, as they appear in labels.
            currencies: that it holds.
            endpoints: of the venue that it calls.
            components: its supervised parts.
            started_at: start of the process, seconds since the epoch; by default now.
            undeclared: how many values beyond the declared ones each label may have before they
                are recorded under `other`.

        Raises:
            RuntimeError: the interpreter has no GIL, so that counts could be lost.
        """
        if registry is None:
            registry = CollectorRegistry()
            ProcessCollector(registry=registry)
        self.registry = registry
        self.started_at = time.time() if started_at is None else started_at
        recorder = Recorder(registry, limit=undeclared)
        self._register_process(recorder, version, mode)
        self._register_components(recorder, tuple(components))
        self._register_market_data(recorder, tuple(symbols))
        self._register_orders(recorder)
        self._register_venue(recorder, tuple(endpoints))
        self._register_money(recorder, tuple(symbols), tuple(currencies))

    # The process

    def heartbeat(self, at: float | None = None) -> None:
        """A whole trading pass was done, now or at this time in seconds since the epoch."""
        self._heartbeat.value = time.time() if at is None else at

    def event_loop_lag(self, seconds: float) -> None:
        """The event loop let a callback wait for so long."""
        self._loop_lag.value = seconds

    def memory_uss(self, size: int) -> None:
        """The process has so many bytes for itself alone."""
        self._memory_uss.value = size

    # State and components

    def trading_state(self, state: str) -> None:
        """This trading state holds from now on: active, reducing or halted."""
        for name, gauge in self._states.items():
            gauge.value = 1 if name == state else 0

    def component_up(self, component: str, *, up: bool) -> None:
        """The component can do its work, or cannot."""
        self._component_up.labels(component).value = 1 if up else 0

    def component_succeeded(self, component: str, at: float | None = None) -> None:
        """The component did its work, now or at this time in seconds since the epoch."""
        self._component_success.labels(component).value = time.time() if at is None else at

    def component_restarted(self, component: str) -> None:
        """The component was restarted inside the process."""
        self._component_restarts.labels(component).value += 1

    def circuit_breaker(self, component: str, state: int) -> None:
        """The component's breaker is closed (0), half-open (1) or open (2)."""
        self._breaker.labels(component).value = state

    # Market data

    def tick(
        self,
        symbol: str,
        *,
        at: float,
        latency_seconds: float | None = None,
        price: float | None = None,
    ) -> None:
        """A ticker was received.

        Args:
            symbol: that it is about.
            at: time of its receipt, seconds since the epoch.
            latency_seconds: since the venue's stamp, where it carries one; clocks may differ, so
                a negative one counts as zero.
            price: that it tells.
        """
        try:
            feed = self._feeds[symbol]
        except KeyError:
            feed = self.feed(symbol)
        feed.tick(at, latency_seconds, price)

    def feed(self, symbol: str) -> SymbolFeed:
        """Return what records one symbol's tickers: to be kept where thousands come a second."""
        feed = SymbolFeed(
            received=self._tick_time.labels(symbol),
            messages=self._ticks.labels(symbol),
            latency=self._tick_latency.labels(symbol),
            price=lambda: self._prices.labels(symbol),
        )
        if self._ticks.has(symbol):
            return self._feeds.setdefault(symbol, feed)
        return feed

    def feed_reconnected(self) -> None:
        """The market data feed made a further connection."""
        self._feed_reconnects.value += 1

    # Orders

    def order_acknowledged(self, seconds: float, *, order_id: str = "") -> None:
        """The venue acknowledged an order, so long after it was submitted.

        With its id, the order becomes the exemplar of its bucket.
        """
        if order_id:
            self._order_duration.observe_for(seconds, order_id)
        else:
            self._order_duration.observe(seconds)

    def order_ended(self, outcome: str, *, order_id: str = "") -> None:
        """An order ended: filled, cancelled or rejected."""
        counter = self._orders.labels(outcome)
        if order_id:
            counter.inc_for(order_id)
        else:
            counter.value += 1

    def order_denied(self, code: str, *, order_id: str = "") -> None:
        """The bot's own gate denied an order, for this reason."""
        self.order_ended("denied", order_id=order_id)
        counter = self._denials.labels(code)
        if order_id:
            counter.inc_for(order_id)
        else:
            counter.value += 1

    def open_orders(self, count: int) -> None:
        """So many own orders rest at the venue."""
        self._open_orders.value = count

    def dead_man_switch(self, deadline: float) -> None:
        """The venue cancels everything at this time, seconds since the epoch; 0: not armed."""
        self._dead_man.value = deadline

    # The venue

    def venue_request(self, endpoint: str, *, code: str, seconds: float) -> None:
        """A request to the venue ended: `ok` or one of `REQUEST_CODES`, after so long."""
        self._requests.labels(endpoint, code).value += 1
        self._request_duration.labels(endpoint).observe(seconds)

    def venue_session_restarted(self) -> None:
        """A further HTTP session with the venue was begun."""
        self._session_restarts.value += 1

    def nonce_issued(self) -> None:
        """A nonce was issued."""
        self._nonces_issued.value += 1

    def nonce_refused(self) -> None:
        """The venue refused a request for its nonce."""
        self._nonces_refused.value += 1

    # Money

    def position(self, symbol: str, quantity: float) -> None:
        """The bot holds so many units of the symbol's base currency."""
        self._position.labels(symbol).value = quantity

    def balance(self, currency: str, amount: float) -> None:
        """The account holds so much of a currency."""
        self._balance.labels(currency).value = amount

    def equity(self, currency: str, amount: float) -> None:
        """Balances and positions are worth so much at current prices."""
        self._equity.labels(currency).value = amount

    def profit(self, currency: str, *, realized: float, unrealized: float) -> None:
        """Closed positions brought so much, and open ones would at current prices."""
        self._realized.labels(currency).value = realized
        self._unrealized.labels(currency).value = unrealized

    # Registration

    def _register_process(self, recorder: Recorder, version: str, mode: str) -> None:
        named = {"version": (version,), "mode": (mode,)}
        recorder.gauge("trading_bot_info", named).labels(version, mode).set(1)
        recorder.gauge("trading_bot_start_timestamp_seconds").labels().set(self.started_at)
        self._heartbeat = recorder.gauge("trading_bot_heartbeat_timestamp_seconds").labels()
        # Not zero: a rule on the age would fire at each start. A crash loop, which this hides,
        # shows in the start time.
        self._heartbeat.value = self.started_at
        self._loop_lag = recorder.gauge("trading_event_loop_lag_seconds").labels()
        self._memory_uss = recorder.gauge("trading_memory_uss_bytes").labels()

    def _register_components(self, recorder: Recorder, components: tuple[str, ...]) -> None:
        known = {"component": components}
        state = recorder.gauge("trading_state")
        self._states = {name: state.labels(name) for name in STATES}
        self._component_up = recorder.gauge("trading_component_up", known)
        self._component_success = recorder.gauge(
            "trading_component_last_success_timestamp_seconds", known
        )
        self._component_restarts = recorder.counter("trading_component_restarts_total", known)
        self._breaker = recorder.gauge("trading_circuit_breaker_state", known)

    def _register_market_data(self, recorder: Recorder, symbols: tuple[str, ...]) -> None:
        known = {"symbol": symbols}
        self._tick_time = recorder.gauge("trading_market_data_timestamp_seconds", known)
        self._tick_latency = recorder.histogram("trading_market_data_latency_seconds", known)
        self._prices = recorder.gauge("trading_market_data_price", known, at_once=False)
        self._ticks = recorder.counter("trading_market_data_messages_total", known)
        self._feeds: dict[str, SymbolFeed] = {}
        for symbol in symbols:
            # The start stands for the last ticker, so that a feed that never speaks is noticed.
            self._tick_time.labels(symbol).value = self.started_at
            self.feed(symbol)
        self._feed_reconnects = recorder.counter("trading_market_data_reconnects_total").labels()

    def _register_orders(self, recorder: Recorder) -> None:
        self._orders = recorder.counter("trading_orders_total")
        self._denials = recorder.counter("trading_order_denials_total")
        self._order_duration = recorder.histogram("trading_order_duration_seconds").labels()
        self._open_orders = recorder.gauge("trading_open_orders").labels()
        self._dead_man = recorder.gauge(
            "trading_dead_man_switch_deadline_timestamp_seconds"
        ).labels()

    def _register_venue(self, recorder: Recorder, endpoints: tuple[str, ...]) -> None:
        known = {"endpoint": endpoints}
        self._requests = recorder.counter("trading_venue_requests_total", known)
        self._request_duration = recorder.histogram("trading_venue_request_duration_seconds", known)
        self._session_restarts = recorder.counter("trading_venue_session_restarts_total").labels()
        self._nonces_issued = recorder.counter("trading_nonces_issued_total").labels()
        self._nonces_refused = recorder.counter("trading_nonces_refused_total").labels()

    def _register_money(
        self, recorder: Recorder, symbols: tuple[str, ...], currencies: tuple[str, ...]
    ) -> None:
        by_symbol, by_currency = {"symbol": symbols}, {"currency": currencies}
        self._position = recorder.gauge("trading_position", by_symbol, at_once=False)
        self._balance = recorder.gauge("trading_balance", by_currency, at_once=False)
        self._equity = recorder.gauge("trading_equity", by_currency, at_once=False)
        self._realized = recorder.gauge("trading_realized_pnl", by_currency, at_once=False)
        self._unrealized = recorder.gauge("trading_unrealized_pnl", by_currency, at_once=False)
