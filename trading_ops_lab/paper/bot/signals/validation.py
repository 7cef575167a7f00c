"""Whether a signal is valid and recent: pure functions, tested as a table."""

import math

from trading_ops_lab.paper.bot.signals.source import Market, Signal
from trading_ops_lab.paper.bot.trading.strategy import Target

LONGEST_HORIZON_SECONDS = 86_400.0
AHEAD_SECONDS = 1.0
"""How far a source's clock may be ahead of ours."""


def fault_of(signal: Signal, market: Market, *, now: float, maximum_age: float) -> str | None:
    """Return why an answer is invalid, or None.

    Args:
        signal: the answer.
        market: the question.
        now: seconds since the epoch.
        maximum_age: of a signal, in seconds.
    """
    if signal.symbol != market.symbol:
        return f"it is for {signal.symbol[:20]!r} instead of {market.symbol}"
    if signal.target not in {Target.LONG, Target.FLAT}:
        return f"invalid target {signal.target}"
    if not _within(signal.confidence, 0.0, 1.0):
        return f"invalid confidence {signal.confidence}"
    horizon = signal.horizon_seconds
    if not _within(horizon, 0.0, LONGEST_HORIZON_SECONDS) or horizon == 0:
        return f"invalid horizon of {horizon} s"
    if not math.isfinite(signal.at) or signal.at > now + AHEAD_SECONDS:
        return "its time is invalid or in the future"
    if signal.at < now - maximum_age:
        return f"it is {now - signal.at:.0f} s old"
    return None


def usable(signal: Signal | None, *, now: float, maximum_age: float) -> bool:
    """Return whether a valid signal is recent enough to use."""
    if signal is None:
        return False
    horizon = maximum_age if signal.horizon_seconds is None else signal.horizon_seconds
    return now - signal.at <= min(horizon, maximum_age)


def _within(value: float | None, least: float, most: float) -> bool:
    return value is None or (math.isfinite(value) and least <= value <= most)
