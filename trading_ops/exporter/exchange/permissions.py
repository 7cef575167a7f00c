"""Finds in a venue's answer whether a key can do more than read.

Only venues that report permissions are listed. An unknown permission counts as more than reading:
wrongly refusing a key costs a line of configuration, wrongly accepting it may cost money.
"""

from collections.abc import Callable, Mapping
from typing import Any

READING = ("query", "export", "read")


def kraken(answer: Any) -> bool:
    """GetApiKeyInfo names the permissions."""
    return any(not name.startswith(READING) for name in answer["result"]["permissions"])


def binance(answer: Any) -> bool:
    """Account/apiRestrictions has a switch for each permission."""
    return any(
        value is True
        for name, value in answer.items()
        if name.startswith(("enable", "permits"))
        and name not in {"enableReading", "enableFixReadOnly"}
    )


def bybit(answer: Any) -> bool:
    """Field `readOnly` of user/query-api: 1 or 0."""
    return int(answer["result"]["readOnly"]) != 1


def okx(answer: Any) -> bool:
    """Account/config has `perm`, such as `read_only,trade`."""
    return any(name.strip() != "read_only" for name in answer["data"][0]["perm"].split(","))


REQUESTS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "kraken": ("privatePostGetApiKeyInfo", kraken),
    "binance": ("sapiGetAccountApiRestrictions", binance),
    "bybit": ("privateGetV5UserQueryApi", bybit),
    "okx": ("privateGetAccountConfig", okx),
}
"""By ccxt's ID of the venue: the method to call, and the function that reads the answer."""
