"""Errors of ccxt, known by name."""

import aiohttp
import pytest

from trading_ops.paper.bot.brokerage.venue_errors import code_of


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
        (OperationFailed(), "unavailable"),
        (ValueError(), "other"),
    ],
    ids=str,
)
def test_error_codes(error: Exception, code: str) -> None:
    """What failed is told by the error's kind or its cause's."""
    assert code_of(error) == code
