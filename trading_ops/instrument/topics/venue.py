"""Calls of a bot to its venue, its sessions and its nonces."""

from typing import TYPE_CHECKING

from trading_ops.instrument.metric import Metric, bot_counter, bot_gauge, bot_histogram
from trading_ops.instrument.recording import observe

if TYPE_CHECKING:
    from trading_ops.instrument.recorder import Recorder

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
"""Outcomes of a request to a venue; `refused`: rejected by the venue."""

PRIVATE_CHANNELS = ("executions", "balances")

VENUE_CALLS: tuple[Metric, ...] = (
    bot_counter(
        name="trading_venue_requests_total",
        labels=("endpoint", "code"),
        values={"code": REQUEST_CODES},
        help="Requests to the venue by outcome.",
        why="The ratio that is not ok is the venue's error rate for this bot.",
    ),
    bot_histogram(
        name="trading_venue_request_duration_seconds",
        labels=("endpoint",),
        exemplar="trace_id",
        help="Latency of requests to the venue, including failures.",
        why="A slowing venue is about to fail or throttles us.",
    ),
    bot_counter(
        name="trading_venue_session_restarts_total",
        vital=True,
        help="HTTP sessions with the venue opened after the first.",
        why="Confirms that a reconnect opened a new session.",
    ),
    bot_counter(
        name="trading_nonces_issued_total",
        help="Nonces issued for signed requests.",
        why="The base for the rejection ratio.",
    ),
    bot_counter(
        name="trading_nonces_refused_total",
        vital=True,
        help="Signed requests that the venue rejected for an invalid nonce.",
        why="Two processes share one key, or the clock went backwards.",
    ),
    bot_counter(
        name="trading_nonce_resyncs_total",
        help="Nonce resynchronizations after a rejection.",
        why="Each one fixed a fault; many of them mean that two processes share one key.",
    ),
    bot_gauge(
        name="trading_venue_rate_limit_used_ratio",
        unit="ratio",
        labels=("group",),
        vital=True,
        help="Usage of the venue's rate limit of an endpoint group: 1 is the limit; absent if "
        "unknown.",
        why="At 1 requests are rejected, including cancels.",
    ),
    bot_counter(
        name="trading_account_feed_gaps_total",
        labels=("channel",),
        values={"channel": PRIVATE_CHANNELS},
        help="Gaps in the sequence numbers of the venue's private feed.",
        why="After each gap the bot queries orders by REST; many gaps exhaust the rate limit.",
    ),
    bot_gauge(
        name="trading_clock_skew_seconds",
        unit="seconds",
        help="The venue's clock minus the bot's, from its responses; absent before the first.",
        why="A wrong clock breaks nonces, signatures and latency metrics.",
    ),
)


GROUPS = 8
"""Rate limits that need not be declared: their names are in the bot's code."""


class VenueMetrics:
    """Records a bot's calls to its venue."""

    def venue_request(
        self, endpoint: str, *, code: str, seconds: float, trace_id: str = ""
    ) -> None:
        """Record a finished request to the venue: `ok` or one of `REQUEST_CODES`, and its duration.

        `trace_id` becomes the exemplar of the bucket.
        """
        self._requests.labels(endpoint, code).value += 1
        observe(self._request_duration.labels(endpoint), seconds, trace_id)

    def venue_session_restarted(self) -> None:
        """Count an HTTP session with the venue that was opened after the first."""
        self._session_restarts.value += 1

    def nonce_issued(self) -> None:
        """Count an issued nonce."""
        self._nonces_issued.value += 1

    def nonce_refused(self) -> None:
        """Count a request that the venue rejected for its nonce."""
        self._nonces_refused.value += 1

    def nonce_resynced(self) -> None:
        """Count a nonce resynchronization after a rejection."""
        self._nonce_resyncs.value += 1

    def rate_limit_used(self, group: str, ratio: float) -> None:
        """Set the used share of the venue's rate limit of an endpoint group; 1 is the limit.

        Absent until set: not every venue reports it.
        """
        self._rate_limit.labels(group).value = ratio

    def account_feed_gap(self, channel: str) -> None:
        """Count a gap in a channel of the private feed: executions or balances."""
        self._account_feed_gaps.labels(channel).value += 1

    def clock_skew(self, seconds: float) -> None:
        """Set the venue's clock minus the bot's; absent until set."""
        self._clock_skew.labels().value = seconds

    def _register_venue(
        self, recorder: "Recorder", endpoints: tuple[str, ...], groups: tuple[str, ...]
    ) -> None:
        known = {"endpoint": endpoints}
        self._requests = recorder.counter("trading_venue_requests_total", known)
        self._request_duration = recorder.histogram("trading_venue_request_duration_seconds", known)
        self._session_restarts = recorder.counter("trading_venue_session_restarts_total").labels()
        self._nonces_issued = recorder.counter("trading_nonces_issued_total").labels()
        self._nonces_refused = recorder.counter("trading_nonces_refused_total").labels()
        self._nonce_resyncs = recorder.counter("trading_nonce_resyncs_total").labels()
        self._rate_limit = recorder.gauge(
            "trading_venue_rate_limit_used_ratio", {"group": groups}, at_once=False, limit=GROUPS
        )
        self._account_feed_gaps = recorder.counter("trading_account_feed_gaps_total")
        self._clock_skew = recorder.gauge("trading_clock_skew_seconds", at_once=False)
