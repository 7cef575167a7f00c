"""Numbers as the exposition formats write them."""

import math
from collections.abc import Sequence

PLAIN = frozenset({int, float})


def printable(values: list[float]) -> Sequence[object]:
    """Return what `%s` prints correctly: the list itself, nearly always.

    Infinite ones and NaN are written differently by Python; they show in the sum. Anybody can put
    something that is no int or float into `gauge.value`, as a bool: it must not break the scrape.
    """
    try:
        if PLAIN.issuperset(map(type, values)) and math.isfinite(sum(values)):
            return values
    except OverflowError:  # an int beyond the floats
        pass
    return [text_of(value) for value in values]


def text_of(value: object) -> str:
    """Return one number as text; what is no number is NaN."""
    try:
        number = float(value)  # type: ignore[arg-type]  # that is what is tried
    except (TypeError, ValueError, OverflowError):
        return "NaN"
    if math.isfinite(number):
        return repr(number)
    return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"
