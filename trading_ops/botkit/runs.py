"""Whether the previous run of the bot ended cleanly, from what it recorded. Pure: no clock, no I/O.

A run is one process of the bot. It records its start, then at intervals the time of its last
trading pass, and at a clean shutdown its end. A run without a recorded end crashed, was killed, or
was interrupted during its shutdown.

    last = assess_at_start(stored_run, now=clock.timestamp())
    if last.end is End.CRASHED:
        log.warning("crash_found", away_seconds=last.age_seconds)
"""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

FACT = "life"
"""The name of the fact that stores the latest run; see `records.facts`."""


class BotRun(msgspec.Struct, frozen=True, kw_only=True):
    """The record of one run. Times are in seconds since the epoch."""

    started_at: float
    version: str
    python: str
    """Path of the interpreter: two releases can be installed side by side."""

    pid: int
    boot_id: str
    """Identifies the boot of the machine; a pid is only unique within one."""

    beat_at: float | None = None
    """The end of the last complete trading pass that was recorded; None before the first."""

    ended_at: float | None = None
    """When the run ended cleanly; None while it runs, and after a crash."""

    left_open: int = 0
    """Orders that may have been open at the clean end."""

    unclean_starts: int = 0
    """How many runs, including this one, started after a crash."""

    @property
    def seen_at(self) -> float:
        """Return when the run was last known to be alive."""
        return max(self.started_at, self.beat_at or 0.0, self.ended_at or 0.0)


class End(StrEnum):
    """How a run ended, as far as is known."""

    CLEAN = "clean"
    """Its end is recorded."""

    CRASHED = "crashed"
    """Its end is not recorded."""

    UNKNOWN = "unknown"
    """No run is recorded: this is the first start, or the records were lost."""


@dataclass(frozen=True, kw_only=True)
class LastRun:
    """The outcome of the latest recorded run."""

    end: End
    age_seconds: float | None = None
    """Time since the run was last known to be alive; None when no run is recorded."""

    run: BotRun | None = None


def assess_at_start(run: BotRun | None, now: float) -> LastRun:
    """Assess the run before this one; the caller holds the records, so that run is over.

    Args:
        run: the latest recorded run, or None.
        now: seconds since the epoch.
    """
    if run is None:
        return LastRun(end=End.UNKNOWN)
    end = End.CRASHED if run.ended_at is None else End.CLEAN
    return LastRun(end=end, age_seconds=_age(run, now), run=run)


def _age(run: BotRun, now: float) -> float:
    """Return the seconds since the run was alive; 0 when the clock was set back."""
    return max(0.0, now - run.seen_at)
