"""Venues, probed from this host independently of the bot."""

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
"""Kraken's status values of a venue; ccxt's `ok` is `online`."""

VENUE_PROBES: tuple[Metric, ...] = (
    exporter_gauge(
        name="trading_venue_up",
        labels=("venue",),
        help="1 if the venue answered the last probe from this host, else 0.",
        why="Distinguishes a venue outage from a bot's broken session.",
    ),
    exporter_gauge(
        name="trading_venue_status",
        labels=("venue", "status"),
        values={"status": VENUE_STATUSES},
        help="1 for the status that the venue reports, else 0; all 0 if it reports none.",
        why="Distinguishes announced maintenance from an outage.",
    ),
    exporter_gauge(
        name="trading_venue_market_open",
        labels=("venue", "symbol"),
        help="1 if the venue reports the market as open, else 0; absent if unknown.",
        why="A closed market sends no prices; that needs no remediation.",
    ),
    exporter_gauge(
        name="trading_venue_probe_duration_seconds",
        unit="seconds",
        labels=("venue",),
        help="Duration of the last probe of the venue.",
        why="If the probe is slow too, the venue or the network is slow, not the bot.",
    ),
    exporter_gauge(
        name="trading_venue_last_success_timestamp_seconds",
        unit="seconds",
        labels=("venue",),
        help="Time of the last successful probe of the venue, Unix time; 0: never.",
        why="Its age is the length of the outage.",
    ),
    exporter_gauge(
        name="trading_venue_clock_skew_seconds",
        unit="seconds",
        labels=("venue",),
        help="The venue's clock minus this host's, corrected by 50 % of the round-trip time.",
        why="A wrong clock breaks nonces, signatures and latency metrics.",
    ),
)

VENUE_ACCOUNTS: tuple[Metric, ...] = (
    exporter_gauge(
        name="trading_venue_request_interval_seconds",
        unit="seconds",
        labels=("venue",),
        help="Minimum interval between requests that ccxt uses for the venue.",
        why="The venue's rate limit; collectors that need more requests are slower.",
    ),
    exporter_counter(
        name="trading_venue_probe_failures_total",
        labels=("venue", "kind"),
        values={"kind": FAILURE_KINDS},
        help="Failed ccxt requests to the venue, by kind of error.",
        why="Distinguishes network errors, invalid keys, nonce conflicts and rate limits.",
    ),
    exporter_gauge(
        name="trading_venue_account_up",
        labels=("venue",),
        help="1 if the last read of the account succeeded, else 0; absent without a key.",
        why="0 while the venue is up: the key is expired, revoked or used by another client.",
    ),
    exporter_gauge(
        name="trading_venue_account_last_success_timestamp_seconds",
        unit="seconds",
        labels=("venue",),
        help="Time of the last successful read of the account, Unix time; 0: never.",
        why="The age of the balances.",
    ),
    exporter_gauge(
        name="trading_venue_account_balance",
        labels=("venue", "currency"),
        help="Balance of the account, in units of the currency; absent while it cannot be read.",
        why="The venue's balance, read independently of the bot.",
    ),
    exporter_gauge(
        name="trading_venue_account_free_balance",
        labels=("venue", "currency"),
        help="Balance not reserved by open orders; absent if the venue does not report it.",
        why="At 0 no order can be placed.",
    ),
    exporter_gauge(
        name="trading_venue_key_can_trade",
        labels=("venue",),
        help="1 if the exporter's key has more than read permission, else 0; absent if unknown.",
        why="A stolen read-only key cannot trade.",
    ),
)
"""Only through ccxt."""
