"""Finds in a venue's answer whether a key can do more than read.

Only venues that report permissions are here. An unknown permission counts as more than reading: a
key that is refused by mistake costs a line of configuration, one accepted by mistake the money.
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


ASK: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "kraken": ("privatePostGetApiKeyInfo", kraken),
    "binance": ("sapiGetAccountApiRestrictions", binance),
    "bybit": ("privateGetV5UserQueryApi", bybit),
    "okx": ("privateGetAccountConfig", okx),
}
"""By ccxt's id: the method that asks, and what reads the answer."""
