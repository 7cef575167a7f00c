"""How an earlier life of the bot ended, told from what it wrote down. Pure: time comes in.

A life writes down that it began, then each heartbeat of work done now and then, and last that it
ended in order. One that began and has no such end crashed, was killed, or was cut off in its end.
"""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

FACT = "life"
"""The name under which the records keep it."""


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the bot, as it wrote itself down. Times in seconds since the epoch."""

    started_at: float
    version: str
    python: str
    """The interpreter's path: two releases may lie side by side."""

    pid: int
    boot_id: str
    """Of the machine's start; a pid means nothing without it."""

    beat_at: float | None = None
    """The last whole trading pass that was written down; None for none yet."""

    ended_at: float | None = None
    """When it ended in order; None while it runs, and after a crash."""

    left_open: int = 0
    """Orders that may have been open at its ordered end."""

    unclean_starts: int = 0
    """How many lives, up to this one, began after one that did not end in order."""

    @property
    def seen_at(self) -> float:
        """Return when it was last known to live."""
        return max(self.started_at, self.beat_at or 0.0, self.ended_at or 0.0)


class End(StrEnum):
    """How a life ended, as far as is known."""

    CLEAN = "clean"
    """In order."""

    CRASHED = "crashed"
    """Without an end on record."""

    UNKNOWN = "unknown"
    """No life is on record: a first start, or the records are gone."""

    RUNNING = "running"
    """It has not ended, and its heartbeat is young; only said from outside."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is known of the last life."""

    end: End
    age_seconds: float | None = None
    """Since it was last seen; None when it is unknown."""

    life: Life | None = None


def at_start(life: Life | None, now: float) -> Verdict:
    """Judge the life before this one: whoever starts has the records alone, so it is over."""
    if life is None:
        return Verdict(end=End.UNKNOWN)
    end = End.CRASHED if life.ended_at is None else End.CLEAN
    return Verdict(end=end, age_seconds=_age(life, now), life=life)


def from_outside(life: Life | None, now: float, crash_after_seconds: float) -> Verdict:
    """Judge a life that may still go on: one that is silent for so long counts as crashed."""
    verdict = at_start(life, now)
    age = verdict.age_seconds
    if verdict.end is End.CRASHED and age is not None and age <= crash_after_seconds:
        return Verdict(end=End.RUNNING, age_seconds=age, life=life)
    return verdict


def sentence(verdict: Verdict) -> str:
    """Say it in a line for people."""
    life, age = verdict.life, verdict.age_seconds
    if life is None or age is None:
        return "unknown: no life is on record"
    who = f"process {life.pid} of release {life.version}"
    if verdict.end is End.CLEAN:
        left = f", {life.left_open} orders may have been left open" if life.left_open else ""
        return f"clean: {who} ended in order {age:.0f} s ago{left}"
    if verdict.end is End.RUNNING:
        return f"running: {who} was last seen at work {age:.0f} s ago"
    return f"crashed: {who} has no end on record and was last seen {age:.0f} s ago"


def _age(life: Life, now: float) -> float:
    """Return the seconds since it was seen, and none when the clock was set back."""
    return max(0.0, now - life.seen_at)
