"""Venues, as a client on this host that shares nothing with the bot sees them."""

from trading_ops.instrument.metric import Metric, exporter_counter, exporter_gauge

FAILURE_KINDS = (
    "network",
    "timeout",
    "maintenance",
    "rate_limit",
    "key",
    "permission",
    "nonce",
    "other",
)

OTHER_STATUS = "other"
VENUE_STATUSES = ("online", "maintenance", "cancel_only", "post_only", "limit_only", OTHER_STATUS)
"""Kraken's words for a whole venue; ccxt's `ok` is `online`."""

VENUE_PROBES: tuple[Metric, ...] = (
    exporter_gauge(
        name="trading_venue_up",
        labels=("venue",),
        help="1 when the venue answered the last probe from this host, else 0.",
        why="Tells a venue's outage from a bot's broken session: the cures differ.",
    ),
    exporter_gauge(
        name="trading_venue_status",
        labels=("venue", "status"),
        values={"status": VENUE_STATUSES},
        help="1 for what the venue says of itself, else 0; all are 0 when it says nothing.",
        why="Tells announced maintenance from an outage.",
    ),
    exporter_gauge(
        name="trading_venue_market_open",
        labels=("venue", "symbol"),
        help="1 when the venue says that the market takes orders, else 0; absent if unknown.",
        why="A closed market sends no prices, and nobody has to be healed for that.",
    ),
    exporter_gauge(
        name="trading_venue_probe_duration_seconds",
        unit="seconds",
        labels=("venue",),
        help="Time that the last probe of the venue took.",
        why="Slow for the probe as well: it is the venue or the network, not the bot.",
    ),
    exporter_gauge(
        name="trading_venue_last_success_timestamp_seconds",
        unit="seconds",
        labels=("venue",),
        help="Time of the last successful probe of the venue, since the epoch; 0 for never.",
        why="The age is the length of the outage.",
    ),
    exporter_gauge(
        name="trading_venue_clock_skew_seconds",
        unit="seconds",
        labels=("venue",),
        help="The venue's clock minus this host's, less half the probe's duration.",
        why="A wrong clock breaks nonces, signatures and latency figures.",
    ),
)

VENUE_ACCOUNTS: tuple[Metric, ...] = (
    exporter_gauge(
        name="trading_venue_request_interval_seconds",
        unit="seconds",
        labels=("venue",),
        help="Least time between two requests that ccxt keeps to for the venue.",
        why="What the venue allows to one client; readings that want more are slower.",
    ),
    exporter_counter(
        name="trading_venue_probe_failures_total",
        labels=("venue", "kind"),
        values={"kind": FAILURE_KINDS},
        help="Questions through ccxt that the venue did not answer well, by what was wrong.",
        why="Tells a dead network from a wrong key, a clash of nonces and a rate limit.",
    ),
    exporter_gauge(
        name="trading_venue_account_up",
        labels=("venue",),
        help="1 when the account could be read the last time, else 0; absent without a key.",
        why="0 while the venue is up: the key expired, was revoked, or somebody else uses it.",
    ),
    exporter_gauge(
        name="trading_venue_account_last_success_timestamp_seconds",
        unit="seconds",
        labels=("venue",),
        help="Time of the last reading of the account, since the epoch; 0 for never.",
        why="The age of the balances.",
    ),
    exporter_gauge(
        name="trading_venue_account_balance",
        labels=("venue", "currency"),
        help="What the account holds, in units of the currency; absent while it cannot be read.",
        why="The venue's word, read by somebody else than the bot.",
    ),
    exporter_gauge(
        name="trading_venue_account_free_balance",
        labels=("venue", "currency"),
        help="What of it no open order holds back; absent where the venue does not tell.",
        why="Without any, no order can be placed.",
    ),
    exporter_gauge(
        name="trading_venue_key_can_trade",
        labels=("venue",),
        help="1 when the exporter's key can do more than read, else 0; absent if unknown.",
        why="A key that only reads can do no harm when it is stolen.",
    ),
)
"""Through ccxt only."""
