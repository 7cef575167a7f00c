"""The one object through which a bot says what it does."""

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, ProcessCollector

from trading_ops.instrument import families
from trading_ops.instrument.bot_catalogue import (
    COMPONENTS,
    DENIALS,
    OUTCOMES,
    REQUEST_CODES,
    STATES,
)
from trading_ops.instrument.labels import Children


class BotMetrics:
    """Records what a trading bot does; safe to call from coroutines and from threads.

    Every method is cheap, never blocks and never raises for a label value that was not declared:
    such a value is counted under `other`. Known label sets are exported as zero from the start,
    apart from money, where a zero before the first reading would look like a loss.
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
        """
        if registry is None:
            registry = CollectorRegistry()
            ProcessCollector(registry=registry)
        self.registry = registry
        self.started_at = time.time() if started_at is None else started_at
        self._register_process(version, mode)
        self._register_components(tuple(components))
        self._register_market_data(tuple(symbols))
        self._register_orders()
        self._register_venue(tuple(endpoints))
        self._register_money(tuple(symbols), tuple(currencies))

    # The process

    def heartbeat(self, at: float | None = None) -> None:
        """A whole trading pass was done, now or at this time in seconds since the epoch."""
        self._heartbeat.set(time.time() if at is None else at)

    def event_loop_lag(self, seconds: float) -> None:
        """The event loop let a callback wait for so long."""
        self._loop_lag.set(seconds)

    def memory_uss(self, size: int) -> None:
        """The process has so many bytes for itself alone."""
        self._memory_uss.set(size)

    # State and components

    def trading_state(self, state: str) -> None:
        """This trading state holds from now on: active, reducing or halted."""
        for name, gauge in self._states.items():
            gauge.set(name == state)

    def component_up(self, component: str, *, up: bool) -> None:
        """The component can do its work, or cannot."""
        self._component_up.of(component).set(up)

    def component_succeeded(self, component: str, at: float | None = None) -> None:
        """The component did its work, now or at this time in seconds since the epoch."""
        self._component_success.of(component).set(time.time() if at is None else at)

    def component_restarted(self, component: str) -> None:
        """The component was restarted inside the process."""
        self._component_restarts.of(component).inc()

    def circuit_breaker(self, component: str, state: int) -> None:
        """The component's breaker is closed (0), half-open (1) or open (2)."""
        self._breaker.of(component).set(state)

    # Market data

    def tick(self, symbol: str, *, at: float, latency_seconds: float | None = None) -> None:
        """A ticker was received.

        Args:
            symbol: that it is about.
            at: time of its receipt, seconds since the epoch.
            latency_seconds: since the venue's stamp, where it carries one; clocks may differ, so
                a negative one counts as zero.
        """
        self._tick_time.of(symbol).set(at)
        self._ticks.of(symbol).inc()
        if latency_seconds is not None:
            self._tick_latency.of(symbol).observe(max(0.0, latency_seconds))

    def feed_reconnected(self) -> None:
        """The market data feed made a further connection."""
        self._feed_reconnects.inc()

    # Orders

    def order_acknowledged(self, seconds: float) -> None:
        """The venue acknowledged an order, so long after it was submitted."""
        self._order_duration.observe(seconds)

    def order_ended(self, outcome: str) -> None:
        """An order ended: filled, cancelled or rejected."""
        self._orders.of(outcome).inc()

    def order_denied(self, code: str) -> None:
        """The bot's own gate denied an order, for this reason."""
        self._orders.of("denied").inc()
        self._denials.of(code).inc()

    def open_orders(self, count: int) -> None:
        """So many own orders rest at the venue."""
        self._open_orders.set(count)

    def dead_man_switch(self, deadline: float) -> None:
        """The venue cancels everything at this time, seconds since the epoch; 0: not armed."""
        self._dead_man.set(deadline)

    # The venue

    def venue_request(self, endpoint: str, *, code: str, seconds: float) -> None:
        """A request to the venue ended: `ok` or one of `REQUEST_CODES`, after so long."""
        self._requests.of(endpoint).of(code).inc()
        self._request_duration.of(endpoint).observe(seconds)

    def venue_session_restarted(self) -> None:
        """A further HTTP session with the venue was begun."""
        self._session_restarts.inc()

    def nonce_issued(self) -> None:
        """A nonce was issued."""
        self._nonces_issued.inc()

    def nonce_refused(self) -> None:
        """The venue refused a request for its nonce."""
        self._nonces_refused.inc()

    # Money

    def position(self, symbol: str, quantity: float) -> None:
        """The bot holds so many units of the symbol's base currency."""
        self._position.of(symbol).set(quantity)

    def balance(self, currency: str, amount: float) -> None:
        """The account holds so much of a currency."""
        self._balance.of(currency).set(amount)

    def equity(self, currency: str, amount: float) -> None:
        """Balances and positions are worth so much at current prices."""
        self._equity.of(currency).set(amount)

    def profit(self, currency: str, *, realized: float, unrealized: float) -> None:
        """Closed positions brought so much, and open ones would at current prices."""
        self._realized.of(currency).set(realized)
        self._unrealized.of(currency).set(unrealized)

    # Registration

    def _register_process(self, version: str, mode: str) -> None:
        families.gauge("trading_bot_info", self.registry).labels(version, mode).set(1)
        families.gauge("trading_bot_start_timestamp_seconds", self.registry).set(self.started_at)
        self._heartbeat = families.gauge("trading_bot_heartbeat_timestamp_seconds", self.registry)
        # Not zero: a rule on the age would fire at each start. A crash loop, which this hides,
        # shows in the start time.
        self._heartbeat.set(self.started_at)
        self._loop_lag = families.gauge("trading_event_loop_lag_seconds", self.registry)
        self._memory_uss = families.gauge("trading_memory_uss_bytes", self.registry)

    def _register_components(self, components: tuple[str, ...]) -> None:
        state = families.gauge("trading_state", self.registry)
        self._states = {name: state.labels(name) for name in STATES}
        up = families.gauge("trading_component_up", self.registry)
        self._component_up = Children(up.labels, components)
        success = families.gauge("trading_component_last_success_timestamp_seconds", self.registry)
        self._component_success = Children(success.labels, components)
        restarts = families.counter("trading_component_restarts_total", self.registry)
        self._component_restarts = Children(restarts.labels, components)
        breaker = families.gauge("trading_circuit_breaker_state", self.registry)
        self._breaker = Children(breaker.labels, components)

    def _register_market_data(self, symbols: tuple[str, ...]) -> None:
        times = families.gauge("trading_market_data_timestamp_seconds", self.registry)
        self._tick_time = Children(times.labels, symbols)
        for symbol in symbols:
            # The start stands for the last ticker, so that a feed that never speaks is noticed.
            self._tick_time.of(symbol).set(self.started_at)
        latency = families.histogram("trading_market_data_latency_seconds", self.registry)
        self._tick_latency = Children(latency.labels, symbols)
        messages = families.counter("trading_market_data_messages_total", self.registry)
        self._ticks = Children(messages.labels, symbols)
        self._feed_reconnects = families.counter(
            "trading_market_data_reconnects_total", self.registry
        )

    def _register_orders(self) -> None:
        orders = families.counter("trading_orders_total", self.registry)
        self._orders = Children(orders.labels, OUTCOMES)
        denials = families.counter("trading_order_denials_total", self.registry)
        self._denials = Children(denials.labels, DENIALS)
        self._order_duration = families.histogram("trading_order_duration_seconds", self.registry)
        self._open_orders = families.gauge("trading_open_orders", self.registry)
        self._dead_man = families.gauge(
            "trading_dead_man_switch_deadline_timestamp_seconds", self.registry
        )

    def _register_venue(self, endpoints: tuple[str, ...]) -> None:
        requests = families.counter("trading_venue_requests_total", self.registry)
        self._requests = Children(
            lambda endpoint: Children(lambda code: requests.labels(endpoint, code), REQUEST_CODES),
            endpoints,
        )
        duration = families.histogram("trading_venue_request_duration_seconds", self.registry)
        self._request_duration = Children(duration.labels, endpoints)
        self._session_restarts = families.counter(
            "trading_venue_session_restarts_total", self.registry
        )
        self._nonces_issued = families.counter("trading_nonces_issued_total", self.registry)
        self._nonces_refused = families.counter("trading_nonces_refused_total", self.registry)

    def _register_money(self, symbols: tuple[str, ...], currencies: tuple[str, ...]) -> None:
        position = families.gauge("trading_position", self.registry)
        self._position = Children(position.labels, symbols, at_once=False)
        balance = families.gauge("trading_balance", self.registry)
        self._balance = Children(balance.labels, currencies, at_once=False)
        equity = families.gauge("trading_equity", self.registry)
        self._equity = Children(equity.labels, currencies, at_once=False)
        realized = families.gauge("trading_realized_pnl", self.registry)
        self._realized = Children(realized.labels, currencies, at_once=False)
        unrealized = families.gauge("trading_unrealized_pnl", self.registry)
        self._unrealized = Children(unrealized.labels, currencies, at_once=False)
