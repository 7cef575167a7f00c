"""What a venue says of a key, in the form its documentation shows, decides about its use."""

from typing import Any

import pytest

from trading_ops.exporter.exchange.child import kind_of
from trading_ops.exporter.exchange.messages import FailureKind
from trading_ops.exporter.exchange.permissions import REQUESTS
from trading_ops.instrument.topics.venue_probes import FAILURE_KINDS

BINANCE = {
    "ipRestrict": False,
    "createTime": 1698645219000,
    "enableReading": True,
    "enableWithdrawals": False,
    "enableInternalTransfer": False,
    "permitsUniversalTransfer": False,
    "enableFixReadOnly": True,
    "enableSpotAndMarginTrading": False,
}


def kraken(*permissions: str) -> dict[str, Any]:
    return {"error": [], "result": {"permissions": list(permissions)}}


@pytest.mark.parametrize(
    ("exchange", "answer", "more"),
    [
        ("kraken", kraken("query-funds", "query-open-trades", "export-data"), False),
        ("kraken", kraken("query-funds", "withdraw-funds"), True),
        ("kraken", kraken("something-new"), True),
        ("binance", BINANCE, False),
        ("binance", BINANCE | {"enableWithdrawals": True}, True),
        ("binance", BINANCE | {"permitsUniversalTransfer": True}, True),
        ("binance", BINANCE | {"enableSomethingNew": True}, True),
        ("bybit", {"result": {"readOnly": 1}}, False),
        ("bybit", {"result": {"readOnly": 0}}, True),
        ("okx", {"data": [{"perm": "read_only"}]}, False),
        ("okx", {"data": [{"perm": "read_only,trade"}]}, True),
    ],
)
def test_a_key_that_can_do_more_is_known(exchange: str, answer: Any, *, more: bool) -> None:
    """What is not known to be reading is more."""
    _, judge = REQUESTS[exchange]
    assert judge(answer) is more


def test_ccxt_has_the_methods() -> None:
    """Each question is a method of the ccxt that is installed."""
    ccxt = pytest.importorskip("ccxt")
    for exchange, (method, _) in REQUESTS.items():
        assert callable(getattr(getattr(ccxt, exchange)({}), method))


def test_every_failure_has_its_kind() -> None:
    """By ccxt's classes; what ccxt has no class for, by the venue's words."""
    ccxt = pytest.importorskip("ccxt")
    for error, kind in (
        (ccxt.RateLimitExceeded(""), "rate_limit"),
        (ccxt.DDoSProtection(""), "rate_limit"),
        (ccxt.InvalidNonce(""), "nonce"),
        (ccxt.PermissionDenied(""), "permission"),
        (ccxt.AuthenticationError(""), "key"),
        (ccxt.ExchangeError('{"error":["EAPI:Invalid signature"]}'), "key"),
        (ccxt.OnMaintenance(""), "maintenance"),
        (ccxt.RequestTimeout(""), "timeout"),
        (ccxt.ExchangeNotAvailable(""), "network"),
        (ccxt.NetworkError(""), "network"),
        (ccxt.BadSymbol(""), "other"),
        (ValueError(""), "other"),
    ):
        assert kind_of(error) == kind
    assert set(FAILURE_KINDS) == set(FailureKind)
