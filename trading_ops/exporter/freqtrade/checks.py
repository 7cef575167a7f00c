"""What no figure may be made of: names and times that cannot be."""

from collections.abc import Iterable

from trading_ops import clock
from trading_ops.errors import ClientError

LABEL_LENGTH = 64
AHEAD_SECONDS = 60.0
"""Freqtrade is on this host: a time stamp further in the future than this is a mistake."""


def check_moment(path: str, moment: float | None) -> None:
    """Refuse an impossible time: a future one would hide an outage until then.

    Raises:
        ClientError: it is negative, or in the future.
    """
    if moment is not None and not 0 <= moment <= clock.timestamp() + AHEAD_SECONDS:
        raise ClientError(f"{path}: invalid timestamp {moment:g}")


def check_labels(path: str, values: Iterable[str]) -> None:
    """Refuse what cannot be the name of a pair or a currency.

    Raises:
        ClientError: one is empty, very long, or not printable.
    """
    for value in values:
        if not value or len(value) > LABEL_LENGTH or not value.isprintable():
            raise ClientError(f"{path}: invalid name {value[:LABEL_LENGTH]!r}")
