"""Numbers as the exposition formats write them.

CPython needs about 0.2 µs to format a float; orjson needs a fifth of that for the same shortest
text. It is used if installed (ccxt and Freqtrade depend on it, we do not). Values that it rejects,
such as integers beyond 64 bits, are formatted one by one.
"""

import importlib
import math
from collections.abc import Callable
from typing import cast

PLAIN = frozenset({int, float})

Encode = Callable[[list[object]], bytes]
"""Formats a list of numbers as JSON."""

_STRANGE = b"[null]"
"""Stands for values that have to be formatted one by one."""


def plainly(values: list[object]) -> bytes:
    """Format a list of numbers with Python; infinity and NaN show in the sum."""
    if not PLAIN.issuperset(map(type, values)):
        return _STRANGE
    if not math.isfinite(sum(cast(list[float], values))):
        return _STRANGE
    return repr(values).replace(" ", "").encode()


def encoder(module: str, function: str) -> Encode:
    """Return this function of this module, or the Python fallback if it is not installed."""
    try:
        return cast(Encode, getattr(importlib.import_module(module), function))
    except ImportError:
        return plainly


FASTEST = encoder("orjson", "dumps")


def printable(values: list[object], encode: Encode = FASTEST) -> list[bytes]:
    """Return the text of each value; requires at least one.

    A caller can assign something other than an int or float to `gauge.value`, such as a bool. That
    must not break the scrape, and neither must NaN and infinity, which JSON cannot represent.
    """
    try:
        written = encode(values)
    except Exception:  # noqa: BLE001 - whatever it is that cannot be written
        written = _STRANGE
    if _only_numbers(written):
        return written[1:-1].split(b",")
    return [text_of(value).encode() for value in values]


def _only_numbers(written: bytes) -> bool:
    """Return whether a JSON list contains only numbers."""
    return not (
        b"l" in written
        or b"u" in written
        or b'"' in written
        or b"{" in written
        or written.rfind(b"[") > 0
    )


def text_of(value: object) -> str:
    """Return one number as text; anything else becomes NaN."""
    try:
        number = float(value)  # type: ignore[arg-type]  # that is what is tried
    except (TypeError, ValueError, OverflowError):
        return "NaN"
    if math.isfinite(number):
        return repr(number)
    return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"
