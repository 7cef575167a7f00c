"""Classifies failed requests: a code for the metrics, and whether the request had no effect.

Only errors on a list count as `refused`, that is, as a definite rejection without effect. Any other
error may come from a venue that has accepted the order.

    try:
        venue_id = await venue.submit(order)
    except Exception as error:
        rejected = error_code(error) == "refused"  # False: it is unknown whether the venue has it
"""

import re

from trading_ops.botkit.component import Unavailable
from trading_ops.errors import TradingOpsError

# Exception class names, to avoid importing ccxt; the first match of the MRO counts.
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
    # Definite rejections. ccxt raises some of them before it sends anything.
    "InsufficientFunds": "refused",
    "DuplicateOrderId": "other",  # not a rejection: an order with this ID exists
    "InvalidOrder": "refused",
    "BadRequest": "refused",
    "ArgumentsRequired": "refused",
    "NotSupported": "refused",
    "MarketClosed": "refused",
    "RestrictedLocation": "refused",
    "ConnectionError": "unreachable",  # the built-in one, and that of requests
    "Timeout": "timeout",  # of requests
}

KRAKEN_ERRORS = re.compile(r'"(E[A-Za-z]+:[^"]*)"')
REJECTIONS = ("EOrder:", "EQuery:")
"""Prefixes of Kraken's errors that reject an order or a query; ccxt does not know many of them."""

AMBIGUOUS = re.compile("internal|time ?out|unknown error|unexpected|unavailable", re.IGNORECASE)
"""Texts of such errors after which the request may still have had an effect."""


class AnsweredError(TradingOpsError):
    """A venue's error that its adapter has classified; the library has no class for it."""

    def __init__(self, code: str, text: str) -> None:
        """Set the code, as in `trading_venue_requests_total`, and the venue's text."""
        super().__init__(text)
        self.code = code


class VenueRefused(TradingOpsError):
    """The venue rejected one request, which had no effect; the connection works."""


class VenueDown(Unavailable):
    """A request failed or was not sent; a request that was sent may have had an effect."""


def error_code(error: BaseException) -> str:
    """Return the code of a failed request, as in `trading_venue_requests_total`.

    Only after `refused` is it certain that the request had no effect; `invalid_nonce` is another
    rejection, after which the broker repeats the request once.
    """
    for cause in (error.__cause__, error):
        if isinstance(cause, AnsweredError):
            return cause.code
        names = [kind.__name__ for kind in type(cause).__mro__]
        for name in names:
            if name in CODES:
                return CODES[name]
        if "ExchangeError" in names and _is_rejection(str(cause)):
            return "refused"
    return "other"


def _is_rejection(text: str) -> bool:
    """Return whether all of Kraken's errors in a text are definite rejections."""
    errors = KRAKEN_ERRORS.findall(text)
    return bool(errors) and all(
        error.startswith(REJECTIONS) and not AMBIGUOUS.search(error) for error in errors
    )
