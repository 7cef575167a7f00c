"""Errors of ccxt, known by name."""

import json
from typing import cast

import aiohttp
import ccxt
import pytest

from trading_ops.botkit.venue.errors import error_code


class NetworkError(Exception):
    """As in ccxt."""


class OperationFailed(Exception):
    """As in ccxt."""


class ExchangeNotAvailable(OperationFailed):
    """As in ccxt."""


class ExchangeError(Exception):
    """As in ccxt."""


class InvalidOrder(ExchangeError):
    """As in ccxt."""


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ExchangeNotAvailable(), "unavailable"),
        (caused(ExchangeNotAvailable(), aiohttp.ServerDisconnectedError()), "unreachable"),
        (caused(ExchangeError(), TimeoutError()), "timeout"),
        (InvalidOrder(), "refused"),
        (ExchangeError(), "other"),
        (ExchangeError("EOrder:Orders limit exceeded"), "other"),  # who says that Kraken did?
        (OperationFailed(), "unavailable"),
        (ValueError(), "other"),
    ],
    ids=str,
)
def test_error_codes(error: Exception, code: str) -> None:
    """The error's kind, or its cause's, says what failed."""
    assert error_code(error) == code


def venue_error(*errors: str) -> Exception:
    """Return what ccxt makes of Kraken's answer with these errors."""
    answer = {"error": list(errors)}
    body = json.dumps(answer)
    try:
        ccxt.kraken().handle_errors(200, "OK", "", "POST", {}, body, answer, {}, None)
    except ccxt.BaseError as error:
        return cast(Exception, error)
    raise AssertionError("ccxt takes it for a good answer")


@pytest.mark.parametrize(
    "error",
    [
        "EService:Timeout",
        "EService:Internal error",
        "EService:Throttled: 1",
        "EService:Unavailable",
        "EGeneral:Internal error",
        "EGeneral:Unknown error",
        "EGeneral:Unexpected error",
        "EOrder:Internal error",
        "ENew:Never heard of",
    ],
)
def test_what_may_have_been_done_is_no_refusal(error: str) -> None:
    """An order that is answered so may be there: it is asked for, and not sent again."""
    assert error_code(venue_error(error)) != "refused"
    assert error_code(venue_error("EOrder:Orders limit exceeded", error)) != "refused"


@pytest.mark.parametrize(
    "error",
    [
        "EOrder:Insufficient funds",
        "EOrder:Order minimum not met",
        "EOrder:Unknown order",
        "EOrder:Orders limit exceeded",
        "EOrder:Post only order",
        "EOrder:Trading agreement required",
        "EQuery:Unknown asset pair",
        "EGeneral:Invalid arguments:volume",
    ],
)
def test_a_clear_no_is_a_refusal(error: str) -> None:
    """Nothing was done, and that is sure."""
    assert error_code(venue_error(error)) == "refused"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ccxt.DuplicateOrderId(), "other"),
        (ccxt.OrderNotFound(), "refused"),
        (ccxt.BadSymbol(), "refused"),
        (ccxt.NotSupported(), "refused"),
        (ccxt.OperationRejected(), "other"),
        (ccxt.MarketClosed(), "refused"),
        (ccxt.PermissionDenied(), "unauthorized"),
        (ccxt.OnMaintenance(), "unavailable"),
        (ccxt.ExchangeError(), "other"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_kinds_of_ccxt(error: Exception, code: str) -> None:
    """A list of what is a no; all else is not."""
    assert error_code(error) == code
