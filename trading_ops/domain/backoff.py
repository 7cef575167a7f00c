"""Backoff between retries."""

from datetime import timedelta


def full_jitter(attempt: int, *, base: timedelta, cap: timedelta, fraction: float) -> timedelta:
    """Return a wait between zero and min(cap, base * 2^attempt).

    Args:
        attempt: number of failed tries, from 0.
        base: the maximum of the first wait.
        cap: the maximum of every wait.
        fraction: a random number in [0, 1); an argument so that the function stays pure.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: full jitter spreads
    clients best at the least total work.
    """
    doublings = min(attempt, 32)  # beyond this the cap has long been reached
    ceiling: timedelta = min(cap, base * (1 << doublings))
    return ceiling * fraction
