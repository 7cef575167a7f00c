"""Two ways of doing the same, measured in turns.

A ratio is the median of the ratios of the rounds, since machines slow down for seconds at a time.
"""

import gc
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

ROUNDS = 15

Work = Callable[[], object]


class Measured(NamedTuple):
    """Medians of interleaved rounds."""

    ours: float
    theirs: float
    ratio: float
    """How many times theirs is ours."""


def beside(ours: Work, theirs: Work, rounds: int = ROUNDS, before: Work = lambda: None) -> Measured:
    """Return the processor seconds that both take, in turns, after what each round begins with."""
    pairs = []
    for number in range(rounds):
        before()
        first, second = (ours, theirs) if number % 2 else (theirs, ours)
        taken = {id(work): seconds(work) for work in (first, second)}
        pairs.append((taken[id(ours)], taken[id(theirs)]))
    return Measured(
        statistics.median(mine for mine, _ in pairs),
        statistics.median(other for _, other in pairs),
        statistics.median(other / mine for mine, other in pairs),
    )


def seconds(work: Work) -> float:
    """Return the processor time that it takes: other work on the machine does not lengthen it."""
    gc.collect()
    began = time.thread_time()
    work()
    return time.thread_time() - began


def verdict(ratio: float, goal: float) -> str:
    """Return the ratio beside its goal, if there is one, and by how much it is met or missed."""
    if not goal:
        return f"1/{ratio:.1f}"
    by = (ratio / goal - 1) * 100
    verdict_text = f"met by {by:.0f} %" if by >= 0 else f"MISSED by {-by:.0f} %"
    return f"1/{ratio:<6.1f} goal 1/{goal:<4.0f}{verdict_text}"
