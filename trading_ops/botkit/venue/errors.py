"""What a failed request means: a code for the metrics, and whether it surely did nothing.

`refused` is a list of what is known to be a no, and not what is left over: an error that nobody has
thought of may be told by a venue that has taken the order.
"""

import re

from trading_ops.botkit.component import Unavailable
from trading_ops.errors import TradingOpsError

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
    # Clear nos. Some are ccxt's own, before anything is sent.
    "InsufficientFunds": "refused",
    "DuplicateOrderId": "other",  # an order by this id is there: that is no no
    "InvalidOrder": "refused",
    "BadRequest": "refused",
    "ArgumentsRequired": "refused",
    "NotSupported": "refused",
    "MarketClosed": "refused",
    "RestrictedLocation": "refused",
}

KRAKEN_ERRORS = re.compile(r'"(E[A-Za-z]+:[^"]*)"')
CLEAR = ("EOrder:", "EQuery:")
"""Kraken's errors of an order and of what is asked about, many of which ccxt does not know."""

UNCLEAR = re.compile("internal|time ?out|unknown error|unexpected|unavailable", re.IGNORECASE)


class VenueRefused(TradingOpsError):
    """The venue's clear no to one request; the connection is well."""


class VenueDown(Unavailable):
    """The venue could not be asked, or not as it should; what was sent may have arrived."""


def code_of(error: BaseException) -> str:
    """Return the metrics' code for a failed request; after `other` too it may have been done."""
    for cause in (error.__cause__, error):
        names = [kind.__name__ for kind in type(cause).__mro__]
        for name in names:
            if name in CODES:
                return CODES[name]
        if "ExchangeError" in names and _clear_no(str(cause)):
            return "refused"
    return "other"


def _clear_no(text: str) -> bool:
    """Say whether each of Kraken's errors in a text means that nothing was done."""
    told = KRAKEN_ERRORS.findall(text)
    return bool(told) and all(one.startswith(CLEAR) and not UNCLEAR.search(one) for one in told)
