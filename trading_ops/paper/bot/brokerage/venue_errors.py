"""What a failed request means: a code for the metrics, and whether the venue answered at all."""

from trading_ops.errors import TradingOpsError
from trading_ops.paper.bot.component import Unavailable

# By name, so that ccxt need not be imported to know them; the first that fits counts.
CODES = {
    "RequestTimeout": "timeout",
    "TimeoutError": "timeout",
    "InvalidNonce": "invalid_nonce",
    "DDoSProtection": "rate_limited",
    "RateLimitExceeded": "rate_limited",
    "ClientConnectionError": "unreachable",
    "ExchangeNotAvailable": "unavailable",
    "AuthenticationError": "unauthorized",
    "OperationFailed": "unavailable",
    "ExchangeError": "refused",
}


class VenueRefused(TradingOpsError):
    """The venue's clear no to one request; the connection is well."""


class VenueDown(Unavailable):
    """The venue could not be asked, or not as it should; what was sent may have arrived."""


def code_of(error: BaseException) -> str:
    """Return the metrics' code for a failed request."""
    for cause in (error.__cause__, error):
        names = [kind.__name__ for kind in type(cause).__mro__]
        for name in names:
            if name in CODES:
                return CODES[name]
    return "other"
