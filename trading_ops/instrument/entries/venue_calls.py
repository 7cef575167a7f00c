"""Calls of a bot to its venue, its sessions and its nonces."""

from trading_ops.instrument.entries.kinds import bot_counter, bot_gauge, bot_histogram
from trading_ops.instrument.metric import Metric

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

PRIVATE_CHANNELS = ("executions", "balances")

VENUE_CALLS: tuple[Metric, ...] = (
    bot_counter(
        name="trading_venue_requests_total",
        labels=("endpoint", "code"),
        values={"code": REQUEST_CODES},
        help="Requests to the venue by how they ended.",
        why="The share that is not ok is the venue's error rate as this bot sees it.",
    ),
    bot_histogram(
        name="trading_venue_request_duration_seconds",
        labels=("endpoint",),
        exemplar="trace_id",
        help="Time from sending a request to the venue to its answer or failure.",
        why="A venue that slows down is about to fail, or throttles us.",
    ),
    bot_counter(
        name="trading_venue_session_restarts_total",
        vital=True,
        help="HTTP sessions with the venue that were made after the first one.",
        why="Proves that a reconnect really began a new session.",
    ),
    bot_counter(
        name="trading_nonces_issued_total",
        help="Nonces issued for signed requests.",
        why="The base for the share of refused ones.",
    ),
    bot_counter(
        name="trading_nonces_refused_total",
        vital=True,
        help="Signed requests that the venue refused for their nonce.",
        why="Two processes share one key, or the clock went back.",
    ),
    bot_counter(
        name="trading_nonce_resyncs_total",
        help="Times that the issuer of nonces was moved on after a refusal.",
        why="Each one is a fault that healed; many of them are two processes on one key.",
    ),
    bot_gauge(
        name="trading_venue_rate_limit_used_ratio",
        unit="ratio",
        labels=("group",),
        vital=True,
        help="Use of the venue's rate limit of a group of endpoints: 0 unused, 1 at the limit; "
        "absent where it is not known.",
        why="At 1 requests are refused, cancels among them.",
    ),
    bot_counter(
        name="trading_account_feed_gaps_total",
        labels=("channel",),
        values={"channel": PRIVATE_CHANNELS},
        help="Times that messages of the venue's private feed were missing, by their numbers.",
        why="After each one orders are asked for by REST; many of them use up its limit.",
    ),
    bot_gauge(
        name="trading_clock_skew_seconds",
        unit="seconds",
        help="The venue's clock minus the bot's, as its answers tell; absent until one did.",
        why="A wrong clock breaks nonces, signatures and latency figures.",
    ),
)
