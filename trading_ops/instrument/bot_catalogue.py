"""The metrics of a trading bot, which `BotMetrics` records."""

from functools import partial

from trading_ops.instrument.metric import Kind, Metric, Owner

COMPONENTS = ("feed", "broker", "signals", "orders", "store", "heartbeat")
STATES = ("active", "reducing", "halted")
OUTCOMES = ("filled", "cancelled", "rejected", "denied")
DENIALS = (
    "trading_halted",
    "trading_reducing",
    "market_data_stale",
    "below_minimum_size",
    "above_maximum_size",
    "stopping",
)
REQUEST_CODES = (
    "ok",
    "timeout",
    "unreachable",
    "unavailable",
    "rate_limited",
    "invalid_nonce",
    "unauthorized",
    "refused",
)
"""How a request to a venue ended; `refused` is the venue's clear no to this one request."""

# Bounds lie around what a loopback venue, a near and a far exchange need, up to our own timeouts.
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# Twenty around the objective of 50 ms, from a venue in the same rack to a feed that is useless.
TICK_BUCKETS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.04, 0.05),
    *(0.06, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)

_gauge = partial(Metric, kind=Kind.GAUGE, owner=Owner.BOT)
_counter = partial(Metric, kind=Kind.COUNTER, owner=Owner.BOT)
_histogram = partial(
    Metric, kind=Kind.HISTOGRAM, owner=Owner.BOT, unit="seconds", buckets=LATENCY_BUCKETS
)

_PROCESS = (
    _gauge(
        name="trading_bot_info",
        labels=("version", "mode"),
        help="Always 1; the labels tell which build runs and whether it is paper or live.",
        why="A deployment that did not arrive, or a live bot where a paper one was meant.",
    ),
    _gauge(
        name="trading_bot_start_timestamp_seconds",
        unit="seconds",
        vital=True,
        help="Time at which this process of the bot started, since the epoch.",
        why="Changes at every restart: crash loops show, and a restart is proven.",
    ),
    _gauge(
        name="trading_bot_heartbeat_timestamp_seconds",
        unit="seconds",
        vital=True,
        help="Time of the last whole trading pass, since the epoch; the start until the first one.",
        why="Work done: a process that is alive but does not trade stops it.",
    ),
    _gauge(
        name="trading_event_loop_lag_seconds",
        unit="seconds",
        vital=True,
        help="Time for which the bot's event loop last let a callback wait; grows while stuck.",
        why="A blocked loop delays every order and cancel.",
    ),
    _gauge(
        name="trading_memory_uss_bytes",
        unit="bytes",
        help="Memory that belongs to this process alone, read at most once a minute.",
        why="A slope over days is a leak; it ends in the kernel killing the bot.",
    ),
    _counter(
        name="trading_undeclared_label_values_total",
        labels=("metric",),
        help="Label values that were not declared and went to the series `other`, by metric.",
        why="Somebody forgot to declare a symbol or an endpoint, or the venue invents new ones.",
    ),
)

_COMPONENTS = (
    _gauge(
        name="trading_state",
        labels=("state",),
        values={"state": STATES},
        vital=True,
        help="1 for the trading state that holds, 0 for the others.",
        why="A halted bot earns nothing and closes nothing; people must know.",
    ),
    _gauge(
        name="trading_component_up",
        labels=("component",),
        vital=True,
        help="1 while the component does its work, 0 while it cannot.",
        why="Names the part that is broken, which is what a recovery acts on.",
    ),
    _gauge(
        name="trading_component_last_success_timestamp_seconds",
        unit="seconds",
        labels=("component",),
        help="Time at which the component last did its work, since the epoch; 0 for never.",
        why="A component that is up and does nothing stands still here.",
    ),
    _counter(
        name="trading_component_restarts_total",
        labels=("component",),
        help="Restarts of the component inside the process, by command or after a crash.",
        why="Many of them mean that restarting is no cure.",
    ),
    _gauge(
        name="trading_circuit_breaker_state",
        labels=("component",),
        help="Circuit breaker of the component: 0 closed, 1 half-open, 2 open.",
        why="An open breaker keeps a failing dependency from being hammered.",
    ),
)

_MARKET_DATA = (
    _gauge(
        name="trading_market_data_timestamp_seconds",
        unit="seconds",
        labels=("symbol",),
        vital=True,
        help="Time at which the last ticker was received, since the epoch; the start until then.",
        why="A feed that is open but silent stops it, and the bot trades on old prices.",
    ),
    _histogram(
        name="trading_market_data_latency_seconds",
        labels=("symbol",),
        buckets=TICK_BUCKETS,
        help="Time from the venue's stamp on a ticker to its receipt.",
        why="Late prices are wrong prices.",
    ),
    _gauge(
        name="trading_market_data_price",
        labels=("symbol",),
        help="Price of the last ticker that carried one, in the symbol's quote currency.",
        why="A price that jumps or freezes while messages come is a broken feed.",
    ),
    _counter(
        name="trading_market_data_messages_total",
        labels=("symbol",),
        help="Tickers received.",
        why="The rate shows a feed that thins out before it falls silent.",
    ),
    _counter(
        name="trading_market_data_reconnects_total",
        help="Connections of the market data feed that were made after the first one.",
        why="A feed that reconnects all the time misses prices in between.",
    ),
)

_ORDERS = (
    _counter(
        name="trading_orders_total",
        labels=("outcome",),
        values={"outcome": OUTCOMES},
        exemplar="order_id",
        help="Orders by how they ended; denied ones never left the bot.",
        why="Rejections and denials where fills are expected mean that the bot does not trade.",
    ),
    _counter(
        name="trading_order_denials_total",
        labels=("code",),
        values={"code": DENIALS},
        exemplar="order_id",
        help="Orders that the bot's own gate denied, by reason.",
        why="Tells which guard holds the bot back.",
    ),
    _histogram(
        name="trading_order_duration_seconds",
        exemplar="order_id",
        help="Time from submitting an order to the venue's acknowledgement.",
        why="Slow acknowledgements come before lost ones.",
    ),
    _gauge(
        name="trading_open_orders",
        vital=True,
        help="Own orders that rest at the venue.",
        why="Orders that stay while the bot is down are risk that nobody watches.",
    ),
    _gauge(
        name="trading_dead_man_switch_deadline_timestamp_seconds",
        unit="seconds",
        vital=True,
        help="Time at which the venue cancels all orders unless wound again; 0 while not armed.",
        why="In the past while orders are open: nothing would cancel them if the bot died.",
    ),
)

_VENUE = (
    _counter(
        name="trading_venue_requests_total",
        labels=("endpoint", "code"),
        values={"code": REQUEST_CODES},
        help="Requests to the venue by how they ended.",
        why="The share that is not ok is the venue's error rate as this bot sees it.",
    ),
    _histogram(
        name="trading_venue_request_duration_seconds",
        labels=("endpoint",),
        help="Time from sending a request to the venue to its answer or failure.",
        why="A venue that slows down is about to fail, or throttles us.",
    ),
    _counter(
        name="trading_venue_session_restarts_total",
        vital=True,
        help="HTTP sessions with the venue that were made after the first one.",
        why="Proves that a reconnect really began a new session.",
    ),
    _counter(
        name="trading_nonces_issued_total",
        help="Nonces issued for signed requests.",
        why="The base for the share of refused ones.",
    ),
    _counter(
        name="trading_nonces_refused_total",
        vital=True,
        help="Signed requests that the venue refused for their nonce.",
        why="Two processes share one key, or the clock went back.",
    ),
)

_MONEY = (
    _gauge(
        name="trading_position",
        labels=("symbol",),
        help="Position that the bot holds, in units of the symbol's base currency.",
        why="Exposure: what a halt leaves open.",
    ),
    _gauge(
        name="trading_balance",
        labels=("currency",),
        help="Balance at the venue, in units of the currency.",
        why="Falls without trades: somebody else uses the account.",
    ),
    _gauge(
        name="trading_equity",
        labels=("currency",),
        help="Balances and positions at current prices, in units of the currency.",
        why="Drawdown is measured on it.",
    ),
    _gauge(
        name="trading_realized_pnl",
        labels=("currency",),
        help="Profit of closed positions after fees since the bot's records began.",
        why="The strategy's result; a steady fall is a reason to halt.",
    ),
    _gauge(
        name="trading_unrealized_pnl",
        labels=("currency",),
        help="Profit of open positions at current prices.",
        why="What closing now would add to the result.",
    ),
)

BOT_METRICS: tuple[Metric, ...] = (
    *_PROCESS,
    *_COMPONENTS,
    *_MARKET_DATA,
    *_ORDERS,
    *_VENUE,
    *_MONEY,
)
